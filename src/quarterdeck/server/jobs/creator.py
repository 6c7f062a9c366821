"""Creation of commands: checks requests, selects the nodes, and stores commands, many in one transaction.

Requests that arrive during a transaction share the next one, because a commit, which waits for the disk, is most of the
cost of a command. Owns the limits of a request. It never changes a command that is stored: `commands.py` and
`ledger.py` do.
"""

from __future__ import annotations

import logging
import uuid
import zlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.link.frames import encode
from quarterdeck.model.errors import (
    AlreadyExists,
    BadInput,
    NoSuchNodes,
    QuarterdeckError,
    TooLarge,
    Unavailable,
)
from quarterdeck.model.jobs import (
    COMMAND_LIMIT_BYTES,
    ID_LIMIT,
    CreateCommand,
    Job,
    JobOffer,
    JobState,
    in_one_line,
    is_id,
)
from quarterdeck.model.nodes import AgentState, NodeKey
from quarterdeck.model.tokens import ApiToken
from quarterdeck.server.coalescer import Coalescer
from quarterdeck.server.jobs.jobs import offer
from quarterdeck.server.jobs.ledger import Ledger, Watch
from quarterdeck.server.jobs.links import JOBS_DUE, JobLinks
from quarterdeck.server.jobs.upcoming import NewJob
from quarterdeck.server.scripts import keep, take_script
from quarterdeck.server.selection import choose
from quarterdeck.server.signals import Signals
from quarterdeck.store.state import jobs as rows
from quarterdeck.store.state import nodes
from quarterdeck.store.state.audit import Entry
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.jobs import JobOnNode, StoredCommand
from quarterdeck.store.state.nodes import Target

log = logging.getLogger(__name__)

#: the longest time that a command may wait for nodes
EXPIRES_LIMIT_S = 10 * 366 * 86400.0
#: characters of a command's arguments in the audit log
AUDIT_CHARS = 300
#: the most commands that one transaction stores
BATCH = 200
#: how long a transaction may wait for as many requests as the last one had, in seconds per request
WAIT_PER_CALL_S = 0.002


class Created(NamedTuple):
    """A command that was created: its request, its number, and the number of its jobs."""

    position: int  #: index of the request among those of its transaction
    number: int
    jobs: int


#: stores further rows of new commands in the transaction that creates them
StoreMore = Callable[[AsyncConnection, Sequence[Created]], Awaitable[None]]


class CreatedCommand(NamedTuple):
    """A command that was stored, with its jobs."""

    command: StoredCommand
    jobs: list[JobOnNode]


class _Pending(NamedTuple):
    request: CreateCommand
    actor: ApiToken
    action: str = ""
    watch: Watch | None = None


class _Accepted(NamedTuple):
    command: StoredCommand
    chosen: Sequence[Target]


class CommandCreator:
    """Creates commands."""

    def __init__(
        self,
        database: Database,
        *,
        ledger: Ledger,
        links: JobLinks,
        signals: Signals,
        expires_s: float | None,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._links = links
        self._signals = signals
        self._expires_s = expires_s  # for a command without its own; None: never
        self._clock = clock
        self._create = Coalescer[_Pending, CreatedCommand](
            self._create_batch, limit=BATCH, wait_per_call_s=WAIT_PER_CALL_S
        )

    async def create(
        self, request: CreateCommand, actor: ApiToken, *, action: str, watch: Watch | None = None
    ) -> CreatedCommand:
        """Create a command; with `action`, also an audit entry. `watch` begins when the command is stored."""
        return await self._create(_Pending(request, actor, action, watch))

    async def create_all(
        self, requests: Sequence[CreateCommand], actor: ApiToken, *, action: str, store_more: StoreMore
    ) -> Sequence[QuarterdeckError | None]:
        """Create many commands in one transaction, in which `store_more` stores further rows.

        Return for each request its error, or None.
        """
        answers = await self._store([_Pending(request, actor, action) for request in requests], store_more=store_more)
        return [each if isinstance(each, QuarterdeckError) else None for each in answers]

    async def _create_batch(self, pending: Sequence[_Pending]) -> Sequence[CreatedCommand | QuarterdeckError]:
        try:
            return await self._store(pending)
        except QuarterdeckError:
            raise
        except Exception as error:
            if len(pending) > 1:  # create all but the one that fails
                return [answer for item in pending for answer in await self._create_batch([item])]
            log.exception("a command (%s) could not be stored", pending[0].request.cmd[:ID_LIMIT])
            return [QuarterdeckError(f"The command could not be stored because of an internal error: {error}.")]

    async def _store(
        self, pending: Sequence[_Pending], *, store_more: StoreMore | None = None
    ) -> list[CreatedCommand | QuarterdeckError]:
        async with self._database.write() as transaction:
            accepted = await self._accept_all(transaction, pending)
            new = [
                (position, each.command, each.chosen)
                for position, each in enumerate(accepted)
                if not isinstance(each, QuarterdeckError)
            ]
            connected = self._links.here({target.key for _, _, chosen in new for target in chosen})
            stored = [(command, {target.key: target.name for target in chosen}) for _, command, chosen in new]
            numbers = await rows.add_all(transaction, stored, here=connected) if new else []
            if store_more is not None:
                created = zip(new, numbers, strict=True)
                await store_more(
                    transaction, [Created(position, number, len(chosen)) for (position, _, chosen), number in created]
                )
            entries = [
                _entry(pending[position].action, command, chosen)
                for position, command, chosen in new
                if pending[position].action
            ]
            await self._ledger.audit.add(transaction, entries)
        answers = [each if isinstance(each, QuarterdeckError) else _created(*each) for each in accepted]
        for (position, _, _), number in zip(new, numbers, strict=True):
            watch, asked = pending[position].watch, answers[position]
            if watch is not None and isinstance(asked, CreatedCommand):
                self._ledger.begin(watch, number, {job.key: job for job, *_ in asked.jobs})
        self._offer(
            [(number, command, chosen) for number, (_, command, chosen) in zip(numbers, new, strict=True)], connected
        )
        return answers

    def _offer(
        self, new: Sequence[tuple[int, StoredCommand, Sequence[Target]]], connected: Collection[NodeKey]
    ) -> None:
        """Offer the jobs to the nodes that are connected; let nodes that connected in the meantime read the store."""
        jobs: dict[NodeKey, list[NewJob]] = {}
        late: set[NodeKey] = set()
        for number, command, chosen in new:
            job = NewJob(number, offer(command, now=self._clock()))
            for target in chosen:
                if target.key in connected:
                    jobs.setdefault(target.key, []).append(job)
                else:
                    late.add(target.key)
        self._links.offer(jobs)
        self._signals.send(JOBS_DUE, late)

    async def _accept_all(
        self, transaction: AsyncConnection, pending: Sequence[_Pending]
    ) -> list[_Accepted | QuarterdeckError]:
        named = [item.request.id for item in pending if is_id(item.request.id)]
        used = await rows.find_ids(transaction, named) if named else set[str]()
        targets = await nodes.find_targets(transaction)
        accepted: list[_Accepted | QuarterdeckError] = []
        for item in pending:
            try:
                accepted.append(await self._accept(transaction, item, targets=targets, used=used))
            except Unavailable:
                raise
            except QuarterdeckError as error:
                accepted.append(error)
        return accepted

    async def _accept(
        self, transaction: AsyncConnection, item: _Pending, *, targets: Sequence[Target], used: set[str]
    ) -> _Accepted:
        """Return the command and its nodes if the request is valid; store its script, and mark its id as used."""
        request, script = take_script(item.request)
        if request.id in used:
            raise AlreadyExists(
                f"There is already a command '{request.id}'.", hint="Choose another id, or leave it out to get one."
            )
        new = self._new(request, item.actor, script=script.sha256 if script else None)
        chosen = _select(targets, request, command_id=new.id)
        if script is not None:
            await keep(transaction, script)
        used.add(new.id)
        return _Accepted(new, chosen)

    def _new(self, request: CreateCommand, actor: ApiToken, *, script: str | None) -> StoredCommand:
        """Return the command as it will be stored; raise `BadInput` or `TooLarge` when the request is invalid."""
        now = self._clock()
        wanted = request.expires_s
        expires_s = self._expires_s if wanted is None else None if isinstance(wanted, str) else wanted
        new = StoredCommand(
            id=_checked_id(request.id) if request.id else str(uuid.uuid4()),
            cmd=request.cmd,
            args=request.args,
            data=request.data,
            selector=request.selector,
            actor=actor.name,
            role=actor.role,
            create_time=now,
            expires_at=None if expires_s is None else now + expires_s,
            script=script,
        )
        if not is_id(new.cmd):
            raise BadInput(f"A command's name is 1 to {ID_LIMIT} printable characters; found {new.cmd[:300]!r}.")
        if expires_s is not None and not 0 < expires_s <= EXPIRES_LIMIT_S:
            raise BadInput(
                f'A command expires after more than 0 and at most {EXPIRES_LIMIT_S:.0f} s, or "never"; '
                f"found {expires_s:g}."
            )
        try:
            size = len(encode(JobOffer(id=new.id, cmd=new.cmd, args=new.args, data=new.data)))
        except (OverflowError, RecursionError, UnicodeEncodeError) as error:
            raise BadInput(f"The arguments cannot be sent to a node: {error}.") from error
        if size > COMMAND_LIMIT_BYTES:
            raise TooLarge(
                f"A command takes at most {COMMAND_LIMIT_BYTES} bytes with its arguments and data; found {size}."
            )
        return new


def _checked_id(text: str) -> str:
    """Return `text` unchanged; raise `BadInput` unless it is valid as an id and as a segment of a path."""
    if not is_id(text) or "/" in text or text in {".", ".."}:
        raise BadInput(f"A command's id is 1 to {ID_LIMIT} printable characters without '/'; found {text[:300]!r}.")
    return text


def _select(targets: Sequence[Target], request: CreateCommand, *, command_id: str) -> Sequence[Target]:
    """Return the nodes that get a job. For `any`, return one that is online, chosen by a hash of the id."""
    found = choose(targets, request.selector)
    if not request.any:
        return found
    online = [node for node in found if node.state is AgentState.ONLINE]
    if not online:
        raise NoSuchNodes(f"None of the {len(found)} nodes that match is online.", hint="See `qd node ls`.")
    return [online[zlib.crc32(command_id.encode()) % len(online)]]


def _entry(action: str, command: StoredCommand, chosen: Sequence[Target]) -> Entry:
    """Return the audit entry of a new command."""
    asked = f"{command.cmd} {in_one_line(command.args)[:AUDIT_CHARS]}".rstrip()
    detail = f"{asked} on {', '.join(target.name for target in chosen)}"
    return Entry(command.actor, command.role, action, command.id, "ok", detail)


def _created(command: StoredCommand, chosen: Sequence[Target]) -> CreatedCommand:
    jobs = [
        JobOnNode(
            job=Job(
                id=command.id,
                gid=target.gid,
                nid=target.nid,
                node_name=target.name,
                cmd=command.cmd,
                state=JobState.QUEUED,
                create_time=command.create_time,
                last_update_time=command.create_time,
            ),
            change=0,
            killed=False,
            agent_state=target.state,
            seen_at=target.seen_at,
            ended=False,
            expires_at=command.expires_at,
        )
        for target in chosen
    ]
    return CreatedCommand(command, jobs)
