"""Saved queries: SQL under names that all who may query the tables share.

Owns their limits, and the rule that a query replaces only the version that its author has seen. It never runs one, and
does not check its SQL: the tables of a query may come later.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.kit.names import did_you_mean, nearest
from quarterdeck.model.errors import AlreadyExists, BadInput, Conflict, NotFound, TooLarge
from quarterdeck.model.moments import utc
from quarterdeck.model.saved_queries import SavedQuery, SaveQuery
from quarterdeck.model.tokens import ApiToken
from quarterdeck.server.names import check_name
from quarterdeck.store.state import saved_queries as rows
from quarterdeck.store.state.database import Database

SavedQueryList = list[SavedQuery]
#: saved queries of a server, as each list has all of them
QUERIES_LIMIT = 1000
SQL_LIMIT_BYTES = 32 * 1024
DESCRIPTION_LIMIT = 1000  # characters


class SavedQueries:
    """Saves, lists, shows and removes queries."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    async def save(self, name: str, request: SaveQuery, actor: ApiToken) -> SavedQuery:
        """Save a query under a name. Saving the same again changes nothing.

        Raise `AlreadyExists` when the name has a query that the request does not replace, `Conflict` when that was
        changed or removed since, `BadInput`, `TooLarge`.
        """
        name = check_name(name, "query")
        _check(request)
        async with self._database.write() as transaction:
            found = await rows.find(transaction, name)
            if found is not None and found.version == request.version:
                return found
            _check_replaced(name, found, request)
            now = self._clock()
            saved = SavedQuery(
                name=name,
                sql=request.sql,
                description=request.description,
                view=request.view,
                version=request.version,
                actor=found.actor if found else actor.name,
                create_time=found.create_time if found else now,
                changed_by=actor.name,
                last_update_time=now,
            )
            if found is None:
                await self._add(transaction, saved)
            else:
                await rows.replace(transaction, saved)
        return saved

    async def list(self) -> SavedQueryList:
        """Return all saved queries, by name."""
        async with self._database.read() as transaction:
            return await rows.find_all(transaction)

    async def show(self, name: str) -> SavedQuery:
        """Return one saved query; raise `NotFound`."""
        async with self._database.read() as transaction:
            found = await rows.find(transaction, name)
            if found is None:
                raise _unknown(name, await rows.find_all(transaction))
        return found

    async def remove(self, name: str) -> None:
        """Remove a saved query; raise `NotFound`."""
        async with self._database.write() as transaction:
            if not await rows.remove(transaction, name):
                raise _unknown(name, await rows.find_all(transaction))

    async def _add(self, transaction: AsyncConnection, saved: SavedQuery) -> None:
        if await rows.count(transaction) >= QUERIES_LIMIT:
            raise TooLarge(f"A server has at most {QUERIES_LIMIT} saved queries.", hint="Remove some first.")
        await rows.add(transaction, saved)


def _check_replaced(name: str, found: SavedQuery | None, request: SaveQuery) -> None:
    """Raise an error unless the request replaces what is stored under its name, if anything is."""
    if found is None:
        if request.replaces:
            raise Conflict(
                f"The saved query '{name}' was removed meanwhile.", hint="Save it as a new one, without `replaces`."
            )
    elif not request.replaces:
        raise AlreadyExists(
            f"There is already a saved query '{name}', by {_last_change(found)}.",
            hint="Choose another name, or replace it: state its version in `replaces` (`qd query save --replace`).",
        )
    elif request.replaces != found.version:
        raise Conflict(
            f"The saved query '{name}' was changed meanwhile, by {_last_change(found)}.",
            hint="Look at it, and save yours under another name or in its place.",
        )


def _last_change(found: SavedQuery) -> str:
    return f"{found.changed_by} at {utc(found.last_update_time)}"


def _check(request: SaveQuery) -> None:
    for text, what in ((request.sql, "SQL"), (request.description, "description")):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise BadInput(f"The {what} has characters that are not Unicode: {error}.") from error
        if "\0" in text:  # PostgreSQL refuses it
            raise BadInput(f"The {what} of a saved query has no NUL; found one.")
    if not request.sql.strip():
        raise BadInput("Expected SQL, found an empty text.")
    if (size := len(request.sql.encode())) > SQL_LIMIT_BYTES:
        raise TooLarge(f"The SQL of a saved query takes at most {SQL_LIMIT_BYTES} bytes; found {size}.")
    if (length := len(request.description)) > DESCRIPTION_LIMIT:
        raise TooLarge(f"A description has at most {DESCRIPTION_LIMIT} characters; found {length}.")


def _unknown(name: str, known: SavedQueryList) -> NotFound:
    hint = did_you_mean(nearest(name, [each.name for each in known], cutoff=0.5), otherwise="See `qd query ls`.")
    return NotFound(f"There is no saved query '{name[:100]}'.", hint=hint)
