"""`/log/ID`: the log of a job or service as plain text, for people and for tools that read text.

It reads the same messages as `/api/v1/messages`, page by page while the client reads.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from datetime import UTC, datetime, timedelta

from litestar import MediaType, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Stream

from quarterdeck.model.errors import NotFound, QuarterdeckError
from quarterdeck.model.messages import FoundMessages, Level, MessageFilter, NodeMessage
from quarterdeck.model.nodes import Selector
from quarterdeck.model.tokens import Role
from quarterdeck.server.jobs.commands import Commands
from quarterdeck.server.messages.messages import Messages
from quarterdeck.server.services import Services

_SERVICE = "service/"  # begins the job id of a service's process
_EPOCH = datetime.fromtimestamp(0, UTC)
_LEVELS = {int(level): level.name.lower() for level in Level}


@get("/{log_id:str}", operation_id="showLog", role=Role.VIEWER, media_type=MediaType.TEXT)
async def show_log(
    server_messages: NamedDependency[Messages],
    server_commands: NamedDependency[Commands],
    server_services: NamedDependency[Services],
    log_id: FromPath[str],
) -> Stream:
    """Return what a command's jobs or a service printed, as text: time, node, level and text, the oldest lines first.

    The id is that of a command, or else the name of a service; `service%2FNAME` is the service in any case. Lines that
    begin with `#`, at the end, are the reasons why messages may be missing.
    """
    wanted = MessageFilter(job_id=await _job_id(log_id, server_commands, server_services))
    first = await server_messages.select(Selector(), wanted)
    return Stream(_text(server_messages, wanted, first), media_type=MediaType.TEXT)


async def _job_id(log_id: str, commands: Commands, services: Services) -> str:
    """Return the job id of the messages; raise `NotFound`."""
    if not log_id.startswith(_SERVICE):
        try:
            return (await commands.show(log_id)).id
        except NotFound:
            pass  # it may be a service
    name = log_id.removeprefix(_SERVICE)
    try:
        await services.show(name)
    except NotFound as error:
        raise NotFound(
            f"There is no command and no service '{name}'.", hint="See `qd job ls` and `qd service ls`."
        ) from error
    return _SERVICE + name


async def _text(messages: Messages, wanted: MessageFilter, page: FoundMessages) -> AsyncGenerator[str]:
    """Yield the text of each page, then the problems, each once."""
    problems = dict.fromkeys(page.problems)
    yield "".join(_lines(page))
    while page.cursor is not None:
        try:
            page = await messages.select(Selector(), wanted, cursor=page.cursor)
        except QuarterdeckError as error:  # the answer has begun, so that it can only end
            problems[f"The log ends here: {error}"] = None
            break
        problems |= dict.fromkeys(page.problems)
        yield "".join(_lines(page))
    yield "".join(f"# {problem}\n" for problem in problems)


def _lines(page: FoundMessages) -> Iterator[str]:
    for message in page.messages:
        begin = f"{_time(message)} {message.node} {_LEVELS.get(message.level, message.level)}"
        for line in message.data.split("\n"):
            yield f"{begin} {line}\n"


def _time(message: NodeMessage) -> str:
    moment = _EPOCH + timedelta(milliseconds=message.epoch)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


ROUTES = (show_log,)
