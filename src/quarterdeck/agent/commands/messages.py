"""`get_msgs` and `del_msgs`: find or delete messages of processes on this node.

An answer is a whole page: it holds as many messages as the server keeps of a result, and the cursor of the next page.
The names of the requirement document (`jobid`, `timefrom`, `timeto`) are accepted too.
"""

from __future__ import annotations

import msgspec

from quarterdeck.agent.commands.command import Command, Outcome, answer, arguments
from quarterdeck.agent.messages.log import MessageLog
from quarterdeck.model.errors import BadInput
from quarterdeck.model.jobs import JobOffer
from quarterdeck.model.messages import (
    PAGE_MESSAGES,
    DeletedMessages,
    LevelsWritten,
    MessageFilter,
    MessagePage,
)
from quarterdeck.model.struct import Struct

#: bytes of an answer's JSON at most; the server keeps 256 KiB of a result
ANSWER_BYTES = 192 * 1024
#: characters that are kept of a message larger than an answer; as JSON each takes up to six bytes
CUT_CHARACTERS = 30_000
_DOCUMENT = {"jobid": "job_id", "timefrom": "time_from", "timeto": "time_to"}


class DeleteMessagesArguments(Struct, frozen=True, kw_only=True):
    """The arguments of `del_msgs`: each restricts the selection; without any, every message is selected."""

    job_id: str | None = None
    jobid: str | None = None  #: the same
    domain: str | None = None
    name: str | None = None
    time_from: int | None = None  #: milliseconds since the epoch, inclusive
    timefrom: int | None = None  #: the same
    time_to: int | None = None  #: milliseconds since the epoch, exclusive
    timeto: int | None = None  #: the same
    levels: LevelsWritten = "*"  #: 2, "1,2,3", "1-6" or "*"
    text: str = ""  #: what the text must contain


class GetMessagesArguments(DeleteMessagesArguments, frozen=True, kw_only=True):
    """The arguments of `get_msgs`: those of `del_msgs`, and the page."""

    limit: int = PAGE_MESSAGES
    cursor: str = ""  #: of the previous answer, with the same arguments
    newest_first: bool = False


def message_commands(log: MessageLog) -> dict[str, Command]:
    """Return the registry of these commands."""

    async def get(job: JobOffer) -> Outcome:
        return answer(await _page(log, _filter(job, arguments(job, GetMessagesArguments))))

    async def delete(job: JobOffer) -> Outcome:
        return answer(DeletedMessages(deleted=await log.delete(_filter(job, arguments(job, DeleteMessagesArguments)))))

    return {"get_msgs": Command(run=get, immediate=True), "del_msgs": Command(run=delete)}


async def _page(log: MessageLog, wanted: MessageFilter) -> MessagePage:
    """Return the first page that is small enough."""
    page = await log.select(wanted, page_bytes=ANSWER_BYTES)
    while _size(page) > ANSWER_BYTES and len(page.messages) > 1:
        page = await log.select(msgspec.structs.replace(wanted, limit=len(page.messages) // 2))
    if _size(page) <= ANSWER_BYTES:
        return page
    large = next(iter(page.messages))
    words = f"Message {large.id} has {len(large.data)} characters; here are the first {CUT_CHARACTERS} of them."
    cut = msgspec.structs.replace(large, data=large.data[:CUT_CHARACTERS], raw=b"")
    return msgspec.structs.replace(page, messages=(cut,), problems=(*page.problems, words))


def _size(page: MessagePage) -> int:
    return len(msgspec.json.encode(page))


def _filter(job: JobOffer, given: DeleteMessagesArguments) -> MessageFilter:
    values = msgspec.structs.asdict(given)
    for document, ours in _DOCUMENT.items():
        other = values.pop(document)
        if other is not None and values[ours] is not None:
            raise BadInput(f"{job.cmd} takes {ours} or {document}; found both.")
        values[ours] = values[ours] if other is None else other
    return MessageFilter(**values)
