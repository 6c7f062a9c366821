"""New commands: whether they may be asked, of which nodes, and how they come onto the disk, many at a time.

What is asked while a transaction is under way waits for the next one, and goes into it together: a commit, which waits
for the disk, for each would be most of what a command costs. What becomes of commands is in `commands.py`.
"""

from __future__ import annotations

import logging
import uuid
import zlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.link.messages import encode
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
from quarterdeck.server.scripts import keep, take_script
from quarterdeck.server.selection import no_match
from quarterdeck.server.sessions.links import Links, NewJob
from quarterdeck.store.state import jobs as rows
from quarterdeck.store.state import nodes
from quarterdeck.store.state.audit import Entry
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.jobs import Shown, StoredCommand
from quarterdeck.store.state.nodes import Target

log = logging.getLogger(__name__)

#: the longest time that a command may wait for nodes
EXPIRES_LIMIT_S = 10 * 366 * 86400.0
#: characters of a command's arguments in the audit log
AUDIT_CHARS = 300
#: commands that are stored in one transaction, and how long it waits for as many as the last had, for each
ROUND, COMPANY_S = 200, 0.002


class Made(NamedTuple):
    """A command that was made of a request, its number, and on how many nodes."""

    position: int  #: of the request among those of its transaction
    number: int
    jobs: int


#: stores, in the transaction that makes commands, what belongs to them
Beside = Callable[[AsyncConnection, Sequence[Made]], Awaitable[None]]


class Asked(NamedTuple):
    """A command that is stored, with its jobs."""

    command: StoredCommand
    jobs: list[Shown]


class _Ask(NamedTuple):
    request: CreateCommand
    actor: ApiToken
    action: str = ""
    watch: Watch | None = None


class _Weighed(NamedTuple):
    command: StoredCommand
    chosen: Sequence[Target]


class Asking:
    """Makes commands."""

    def __init__(self, database: Database, *, ledger: Ledger, links: Links, clock: Callable[[], float]) -> None:
        self._database = database
        self._ledger = ledger
        self._links = links
        self._clock = clock
        self._create = Coalescer[_Ask, Asked](self._create_round, limit=ROUND, company_s=COMPANY_S)

    async def create(
        self, request: CreateCommand, actor: ApiToken, *, action: str, watch: Watch | None = None
    ) -> Asked:
        """One command; with `action`, and an entry in the audit log. `watch` begins when it is stored."""
        return await self._create(_Ask(request, actor, action, watch))

    async def create_all(
        self, requests: Sequence[CreateCommand], actor: ApiToken, *, action: str, beside: Beside
    ) -> Sequence[QuarterdeckError | None]:
        """Many commands; `beside` stores what belongs to those that are made. For each request its error, or None."""
        answers = await self._store([_Ask(request, actor, action) for request in requests], beside=beside)
        return [each if isinstance(each, QuarterdeckError) else None for each in answers]

    async def _create_round(self, asks: Sequence[_Ask]) -> Sequence[Asked | QuarterdeckError]:
        try:
            return await self._store(asks)
        except QuarterdeckError:
            raise
        except Exception as error:
            if len(asks) > 1:  # all but the one with the fault
                return [answer for ask in asks for answer in await self._create_round([ask])]
            log.exception("a command (%s) could not be stored", asks[0].request.cmd[:ID_LIMIT])
            return [QuarterdeckError(f"The command could not be stored, by a fault of ours: {error}.")]

    async def _store(self, asks: Sequence[_Ask], *, beside: Beside | None = None) -> list[Asked | QuarterdeckError]:
        async with self._database.write() as transaction:
            weighed = await self._weigh_all(transaction, asks)
            new = [
                (position, each.command, each.chosen)
                for position, each in enumerate(weighed)
                if not isinstance(each, QuarterdeckError)
            ]
            here = self._links.here({target.key for _, _, chosen in new for target in chosen})
            stored = [(command, {target.key: target.name for target in chosen}) for _, command, chosen in new]
            numbers = await rows.add_all(transaction, stored, here=here) if new else []
            if beside is not None:
                made = zip(new, numbers, strict=True)
                await beside(
                    transaction, [Made(position, number, len(chosen)) for (position, _, chosen), number in made]
                )
            noted = [
                _entry(asks[position].action, command, chosen)
                for position, command, chosen in new
                if asks[position].action
            ]
            await self._ledger.audit.add(transaction, noted)
        answers = [each if isinstance(each, QuarterdeckError) else _asked(*each) for each in weighed]
        for (position, _, _), number in zip(new, numbers, strict=True):
            watch, asked = asks[position].watch, answers[position]
            if watch is not None and isinstance(asked, Asked):
                self._ledger.begin(watch, number, {job.key: job for job, *_ in asked.jobs})
        self._offer(
            [(number, command, chosen) for number, (_, command, chosen) in zip(numbers, new, strict=True)], here
        )
        return answers

    def _offer(self, new: Sequence[tuple[int, StoredCommand, Sequence[Target]]], here: Collection[NodeKey]) -> None:
        """To the nodes that are here; those that came meanwhile are to look themselves."""
        jobs: dict[NodeKey, list[NewJob]] = {}
        came: set[NodeKey] = set()
        for number, command, chosen in new:
            job = NewJob(number, offer(command, now=self._clock()))
            for target in chosen:
                if target.key in here:
                    jobs.setdefault(target.key, []).append(job)
                else:
                    came.add(target.key)
        self._links.offer_jobs(jobs)
        self._links.wake_for_jobs(came)

    async def _weigh_all(self, transaction: AsyncConnection, asks: Sequence[_Ask]) -> list[_Weighed | QuarterdeckError]:
        named = [ask.request.id for ask in asks if is_id(ask.request.id)]
        used = await rows.find_ids(transaction, named) if named else set[str]()
        every = await nodes.find_targets(transaction)
        weighed: list[_Weighed | QuarterdeckError] = []
        for ask in asks:
            try:
                weighed.append(await self._weigh(transaction, ask, every=every, used=used))
            except Unavailable:
                raise
            except QuarterdeckError as error:
                weighed.append(error)
        return weighed

    async def _weigh(
        self, transaction: AsyncConnection, ask: _Ask, *, every: Sequence[Target], used: set[str]
    ) -> _Weighed:
        """The command and its nodes, if it may be; its script is stored, its id is used."""
        request, script = take_script(ask.request)
        if request.id in used:
            raise AlreadyExists(
                f"There is already a command '{request.id}'.", hint="Choose another id, or none to have one made."
            )
        new = self._new(request, ask.actor, script=script.sha256 if script else None)
        chosen = _select(every, request, command_id=new.id)
        if script is not None:
            await keep(transaction, script)
        used.add(new.id)
        return _Weighed(new, chosen)

    def _new(self, request: CreateCommand, actor: ApiToken, *, script: str | None) -> StoredCommand:
        """The command as it will be stored, if it may be."""
        now = self._clock()
        new = StoredCommand(
            id=_checked_id(request.id) if request.id else str(uuid.uuid4()),
            cmd=request.cmd,
            args=request.args,
            data=request.data,
            selector=request.selector,
            actor=actor.name,
            role=actor.role,
            create_time=now,
            expires_at=None if request.expires_s is None else now + request.expires_s,
            script=script,
        )
        if not is_id(new.cmd):
            raise BadInput(f"A command's name is 1 to {ID_LIMIT} printable characters; found {new.cmd[:300]!r}.")
        if request.expires_s is not None and not 0 < request.expires_s <= EXPIRES_LIMIT_S:
            raise BadInput(
                f"A command expires after more than 0 and at most {EXPIRES_LIMIT_S:.0f} s; found {request.expires_s:g}."
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
    """`text` as it is; `BadInput` unless it can be an id, also as a part of a path."""
    if not is_id(text) or "/" in text or text in {".", ".."}:
        raise BadInput(f"A command's id is 1 to {ID_LIMIT} printable characters without '/'; found {text[:300]!r}.")
    return text


def _select(every: Sequence[Target], request: CreateCommand, *, command_id: str) -> Sequence[Target]:
    """The nodes that are asked. For `any` one that is online: which one is spread by the id."""
    selector = request.selector
    found = [node for node in every if selector.matches(node.key, name=node.name, labels=node.labels)]
    if not found:
        raise no_match(selector, joined=len(every))
    if not request.any:
        return found
    online = [node for node in found if node.state is AgentState.ONLINE]
    if not online:
        raise NoSuchNodes(f"None of the {len(found)} nodes that match is online.", hint="See `qd node ls`.")
    return [online[zlib.crc32(command_id.encode()) % len(online)]]


def _entry(action: str, command: StoredCommand, chosen: Sequence[Target]) -> Entry:
    """What the audit log says of a new command."""
    asked = f"{command.cmd} {in_one_line(command.args)[:AUDIT_CHARS]}".rstrip()
    detail = f"{asked} on {', '.join(target.name for target in chosen)}"
    return Entry(command.actor, command.role, action, command.id, "ok", detail)


def _asked(command: StoredCommand, chosen: Sequence[Target]) -> Asked:
    jobs = [
        Shown(
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
        )
        for target in chosen
    ]
    return Asked(command, jobs)
