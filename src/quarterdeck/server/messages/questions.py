"""What one session asks its agent about messages: many questions at one time, each with its number and one answer.

Owns the numbers, who waits for which, and what the link did not take yet: one message at most for each question that
is open, here or at the agent. A question ends with its answer, its time, or the link; nothing is asked again here.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import msgspec

from quarterdeck.link.messages import AskMessages, FromAgent, MessagesFound, StopAsking, ToAgent
from quarterdeck.link.wire import Stream
from quarterdeck.model.errors import BY_CODE, BadFrame, QuarterdeckError, TimedOut, Unavailable
from quarterdeck.model.messages import PAGE_MESSAGES, MessageFilter, MessagePage

#: how long an answer may take beside the time that it may wait
ANSWER_S = 20.0
#: what is kept of the words of a node, and how many of them
PROBLEM_CHARACTERS, PROBLEMS = 2000, 20
#: numbers and times of messages are below these
_PLACES, _IDS = 1 << 59, 1 << 32
_CURSOR_DIGITS = 17
_NONE = MessageFilter()
#: over all sessions: a late answer over a new link is nobody's
_numbers = itertools.count(1)


class Questions:
    """The questions of one session; `run` sends them while it lasts."""

    def __init__(self, stream: Stream[FromAgent, ToAgent]) -> None:
        self._stream = stream
        self._unsent: dict[int, AskMessages | StopAsking] = {}
        self._news = asyncio.Event()
        self._open: dict[int, asyncio.Future[MessagePage]] = {}
        self._over = False

    async def ask(self, wanted: MessageFilter, wait_s: float) -> MessagePage:
        """The agent's answer; the errors it means, `TimedOut`, or `Unavailable` when the link ends."""
        if self._over:
            raise _gone()
        number = next(_numbers)
        answer = self._open[number] = asyncio.get_running_loop().create_future()
        self._say(AskMessages(number=number, filter=_written(wanted), wait_s=wait_s))
        try:
            async with asyncio.timeout(wait_s + ANSWER_S):
                return await answer
        except TimeoutError as error:
            raise TimedOut(
                f"The node did not say within {wait_s + ANSWER_S:g} s which messages it has.",
                hint="An agent older than this server does not answer; update it.",
            ) from error
        finally:
            del self._open[number]
            if not answer.done() or answer.cancelled():
                self._say(StopAsking(number=number))
            else:
                answer.exception()  # taken note of, though the question was given up in the same moment

    def answered(self, found: MessagesFound) -> None:
        """The agent's answer came; perhaps nobody waits for it any more."""
        answer = self._open.get(found.number)
        if answer is None or answer.done():
            return
        if found.page is None:
            answer.set_exception(BY_CODE.get(found.code, QuarterdeckError)(found.problem[:PROBLEM_CHARACTERS]))
        elif _is_sound(found.page):
            answer.set_result(_bounded(found.page))
        else:
            answer.set_exception(BadFrame("The node's answer is no page of messages."))

    async def run(self) -> None:
        """Send what is asked, until cancelled or the link is gone."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._unsent:
                await self._stream.send(self._unsent.pop(next(iter(self._unsent))))

    def end(self) -> None:
        """The link is over: so are all questions."""
        self._over = True
        for answer in self._open.values():
            if not answer.done():
                answer.set_exception(_gone())

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────
    def _say(self, message: AskMessages | StopAsking) -> None:
        """When the link can take it. A question that is given up before it was sent needs no word at all."""
        if self._unsent.pop(message.number, None) is None:
            self._unsent[message.number] = message
            self._news.set()


def _is_sound(page: MessagePage) -> bool:
    """Whether a node may have such a page: its places are in the cursors of all nodes, which must stay readable."""
    cursors = (page.resume, page.cursor or "0")
    return (
        len(page.messages) <= PAGE_MESSAGES
        and all(each.isascii() and each.isdecimal() and len(each) <= _CURSOR_DIGITS for each in cursors)
        and all(0 <= message.place < _PLACES and 0 <= message.id < _IDS for message in page.messages)
        and all(abs(message.epoch) < _PLACES for message in page.messages)
    )


def _bounded(page: MessagePage) -> MessagePage:
    """The page with no more words about it than an honest node has."""
    problems = tuple(problem[:PROBLEM_CHARACTERS] for problem in page.problems[:PROBLEMS])
    return page if problems == page.problems else msgspec.structs.replace(page, problems=problems)


def _gone() -> Unavailable:
    return Unavailable("The node went away before it answered.")


def _written(wanted: MessageFilter) -> dict[str, Any]:
    """What an agent that knows fewer filters can read, as far as they are not used."""
    given = msgspec.to_builtins(wanted)
    return {name: value for name, value in given.items() if getattr(wanted, name) != getattr(_NONE, name)}
