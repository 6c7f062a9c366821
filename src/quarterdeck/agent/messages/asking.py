"""What the server asks of this node's messages, while a link is up: each question is answered by one page.

Questions are many at one time and cheap while nothing comes: each waits for the log to say that there may be more. An
answer is sent as soon as a message matches, those that came about the same time with it, or when its wait is over.
The node's allow-list holds here too, as `get_msgs`. When the link ends, all questions end with it.
"""

from __future__ import annotations

import asyncio
import fnmatch
import logging
from collections import deque
from collections.abc import Sequence

import msgspec

from quarterdeck.agent.connection import LiveLink
from quarterdeck.agent.messages.log import MessageLog
from quarterdeck.link.messages import AskMessages, MessagesFound, StopAsking
from quarterdeck.model.errors import BadInput, Forbidden, QuarterdeckError, Unavailable
from quarterdeck.model.messages import MessageFilter, MessagePage

#: the command whose permission asking needs
COMMAND = "get_msgs"
#: how long messages gather before they leave together
GATHER_S = 0.05
#: the longest wait that is granted
WAIT_LIMIT_S = 60.0
#: questions that are open at one time
OPEN_LIMIT = 1000

log = logging.getLogger(__name__)


class Asking:
    """Answers the server from `messages`. `allow`: the patterns of what it may do on this node."""

    def __init__(self, messages: MessageLog, *, allow: Sequence[str]) -> None:
        self._messages = messages
        self._allowed = any(fnmatch.fnmatchcase(COMMAND, pattern) for pattern in allow)
        self._inbox: deque[AskMessages | StopAsking] = deque()
        self._news = asyncio.Event()
        self._open: dict[int, asyncio.Task[None]] = {}

    def received(self, message: AskMessages | StopAsking) -> None:
        """The server said this. Never waits."""
        self._inbox.append(message)
        self._news.set()

    async def linked(self, live: LiveLink) -> None:
        """Answer while a link is up."""
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                while self._inbox:
                    await self._take(self._inbox.popleft(), live)
        finally:
            self._inbox.clear()
            ending = list(self._open.values())
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)

    async def _take(self, message: AskMessages | StopAsking, live: LiveLink) -> None:
        if isinstance(message, StopAsking):
            if message.number in self._open:
                self._open[message.number].cancel()
            return
        if len(self._open) >= OPEN_LIMIT:
            await live.send(_refusal(message, Unavailable(f"{OPEN_LIMIT} questions for messages are open already.")))
            return
        task = self._open[message.number] = asyncio.create_task(self._answer(message, live))
        task.add_done_callback(lambda _: self._open.pop(message.number, None))

    async def _answer(self, ask: AskMessages, live: LiveLink) -> None:
        try:
            found = MessagesFound(number=ask.number, page=await self._find(ask))
        except QuarterdeckError as error:
            found = _refusal(ask, error)
        except Exception as error:
            log.exception("messages could not be looked for, by a fault of ours")
            found = _refusal(ask, QuarterdeckError(f"A fault of the agent: {type(error).__name__}: {error}."))
        try:
            await live.send(found)
        except Unavailable as error:
            log.debug("an answer to the server was not sent: %s", error)  # the link ends, and its questions

    async def _find(self, ask: AskMessages) -> MessagePage:
        if not self._allowed:
            raise Forbidden(f"This node's configuration (agent.jobs.allow) has no {COMMAND}.")
        wanted = _filter(ask)
        wait_s = 0.0 if wanted.newest_first else min(ask.wait_s, WAIT_LIMIT_S)
        with self._messages.watch(wanted) as news:
            page = await self._messages.select(wanted)
            if wait_s <= 0 or page.cursor or (page.messages and not wanted.cursor):
                return page
            if not page.messages:
                wanted = msgspec.structs.replace(wanted, cursor=page.resume)
                problems = page.problems
                page = await self._wait_for(wanted, news, wait_s)
                return msgspec.structs.replace(page, problems=tuple(dict.fromkeys((*problems, *page.problems))))
            await asyncio.sleep(GATHER_S)  # whoever reads on has the rest of what is being printed in one page
            return await self._messages.select(wanted)

    async def _wait_for(self, wanted: MessageFilter, news: asyncio.Event, wait_s: float) -> MessagePage:
        """The first page with a message behind the filter's cursor, or an empty one when the wait is over."""
        deadline = asyncio.get_running_loop().time() + wait_s
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    await news.wait()
            except TimeoutError:
                return MessagePage(messages=(), resume=wanted.cursor)
            await asyncio.sleep(GATHER_S)
            news.clear()
            page = await self._messages.select(wanted)
            if page.messages:
                return page
            wanted = msgspec.structs.replace(wanted, cursor=page.resume)


def _filter(ask: AskMessages) -> MessageFilter:
    try:
        return msgspec.convert(ask.filter, MessageFilter)
    except msgspec.ValidationError as error:
        raise BadInput(f"This node cannot look for messages like that: {error}.") from error


def _refusal(ask: AskMessages, error: QuarterdeckError) -> MessagesFound:
    return MessagesFound(number=ask.number, code=error.code, problem=str(error))
