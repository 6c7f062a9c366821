"""Pages of long lists as Relay's connections: edges with cursors, and whether more follow.

A cursor names an entry and its place. The page after it begins behind that entry, wherever it is then: a list to which
newer entries were added in front has no gap and no entry twice.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from quarterdeck.model.errors import BadInput
from quarterdeck.model.struct import Struct

#: entries of a page unless `first` is given, and at most
PAGE, PAGE_LIMIT = 100, 5_000
#: the most entries that a list of the server returns
LIST_LIMIT = 10_000
#: entries that are read beyond the place of a cursor, for those that were added in front of it
_AHEAD = 200
#: returns the first entries of a list, at most as many as are asked for, or all when it is short
Read = Callable[[int], Awaitable[Sequence[Any]]]


class PageInfo(Struct, frozen=True, kw_only=True):
    """The place of a page in its list."""

    has_next_page: bool
    has_previous_page: bool = False
    start_cursor: str | None = None
    end_cursor: str | None = None


class Connection(NamedTuple):
    """The structs of a connection to one kind of entries."""

    of: type[msgspec.Struct]
    edge: type[msgspec.Struct]

    def page(self, items: Sequence[Any], cursors: Sequence[str | None], *, info: PageInfo, **more: Any) -> Any:
        """Return a page with these entries."""
        edges = tuple(self.edge(cursor=cursor, node=item) for cursor, item in zip(cursors, items, strict=True))
        return self.of(edges=edges, nodes=tuple(items), page_info=info, **more)

    async def read(self, read: Read, *, key: Callable[[Any], str], first: int, after: str | None, **more: Any) -> Any:
        """Return the page after a cursor, of the entries that `read` returns and `key` names."""
        if not 1 <= first <= PAGE_LIMIT:
            raise BadInput(f"A page has 1 to {PAGE_LIMIT} entries; found first = {first}.")
        begin, entries = await _behind(read, key, after, first)
        items = entries[begin : begin + first]
        cursors = [_cursor(begin + place, key(item)) for place, item in enumerate(items)]
        info = PageInfo(
            has_next_page=len(entries) > begin + first,
            has_previous_page=begin > 0,
            start_cursor=cursors[0] if cursors else None,
            end_cursor=cursors[-1] if cursors else None,
        )
        return self.page(items, cursors, info=info, **more)


def connection(item: type[msgspec.Struct], name: str, **more: Any) -> Connection:
    """Return the structs of a connection to `item`, with `more` fields."""
    options: Any = {"frozen": True, "kw_only": True, "module": __name__}
    edge = msgspec.defstruct(f"{name}Edge", [("cursor", str | None), ("node", item)], **options)
    edge.__doc__ = f"One {name} of a page. `cursor` is null where the list has none for each entry."
    fields = [("edges", tuple[edge, ...]), ("nodes", tuple[item, ...]), ("page_info", PageInfo), *more.items()]
    made = msgspec.defstruct(f"{name}Connection", fields, **options)
    made.__doc__ = f"A page of a list of {name}."
    return Connection(made, edge)


async def _behind(read: Read, key: Callable[[Any], str], after: str | None, first: int) -> tuple[int, Sequence[Any]]:
    """Return the place behind a cursor, and the entries up to one behind the page, if there are as many."""
    if not after:
        return 0, await read(min(LIST_LIMIT, first + 1))
    place, name = _parsed(after)
    for limit in (min(LIST_LIMIT, place + first + _AHEAD), LIST_LIMIT):
        entries = await read(limit)
        begin = next((at + 1 for at, entry in enumerate(entries) if key(entry) == name), 0)
        if begin and (len(entries) > begin + first or len(entries) < limit or limit == LIST_LIMIT):
            return begin, entries
    raise BadInput("The entry of this cursor is not in the list any more.", hint="Read it from its first page.")


def _cursor(place: int, name: str) -> str:
    return base64.urlsafe_b64encode(f"{place}:{name}".encode()).decode()


def _parsed(cursor: str) -> tuple[int, str]:
    try:
        place, colon, name = base64.b64decode(cursor, altchars=b"-_", validate=True).decode().partition(":")
        if not (colon and place.isascii() and place.isdecimal() and len(place) < 10):
            raise ValueError
        return int(place), name
    except ValueError as error:  # of base64 and UTF-8 too
        raise BadInput(f"{cursor[:100]!r} is not a cursor.", hint="Use `endCursor` of the page before.") from error
