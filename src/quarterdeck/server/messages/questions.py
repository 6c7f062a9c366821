"""The questions about messages that one session asks its agent: many at a time, each with a number and one answer.

Owns the numbers, the callers that wait, and the messages not yet sent: at most one for each question that is open, here
or at the agent. A question ends with its answer, its time limit, or the link. It never repeats a question.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, Protocol

import msgspec

from quarterdeck.link.conversation import Conversation
from quarterdeck.link.messages import AskMessages, MessagesFound, StopAsking, ToAgent
from quarterdeck.model.errors import BY_CODE, BadFrame, QuarterdeckError, TimedOut, Unavailable
from quarterdeck.model.messages import PAGE_MESSAGES, MessageFilter, MessagePage

#: how long an answer may take in addition to its time to wait for messages
ANSWER_S = 20.0
#: characters of a node's problem that are kept, and the number of problems
PROBLEM_CHARACTERS, PROBLEMS = 2000, 20
#: limits of the numbers and ids of messages
_PLACES, _IDS = 1 << 59, 1 << 32
_CURSOR_DIGITS = 17
_NONE = MessageFilter()
#: unique over all sessions, so that a late answer over a new link matches no question
_numbers = itertools.count(1)


class Sender(Protocol):
    """Sends messages to the agent."""

    async def send(self, message: ToAgent) -> None: ...


class Questions(Conversation):
    """The questions over one link, which `run` sends until it ends."""

    def __init__(self, link: Sender, *, answer_s: float = ANSWER_S) -> None:
        self._link = link
        self._answer_s = answer_s
        self._unsent: dict[int, AskMessages | StopAsking] = {}
        self._news = asyncio.Event()
        self._open: dict[int, asyncio.Future[MessagePage]] = {}
        self._over = False

    async def ask(self, wanted: MessageFilter, wait_s: float, *, follower: int = 0, skip: bool = False) -> MessagePage:
        """Ask the agent and return its answer. Raise the error in it, `TimedOut`, or `Unavailable` when the link ends.

        `follower`: make the program wait for this follower until it leaves.
        `skip`: return the newest page after the cursor, with the number of matching messages that were skipped.
        """
        if self._over:
            raise _gone()
        number = next(_numbers)
        answer = self._open[number] = asyncio.get_running_loop().create_future()
        self._say(AskMessages(number=number, filter=_written(wanted), wait_s=wait_s, follower=follower, skip=skip))
        limit_s = wait_s + self._answer_s
        try:
            async with asyncio.timeout(limit_s):
                return await answer
        except TimeoutError as error:
            raise TimedOut(
                f"The node did not send its messages within {limit_s:g} s.",
                hint="It is connected, but busy or stuck: its agent's log may say why.",
            ) from error
        finally:
            del self._open[number]
            if not answer.done() or answer.cancelled():
                self._say(StopAsking(number=number))
            else:
                answer.exception()  # marks it as retrieved, though the caller was cancelled at the same time

    def leave(self, follower: int) -> None:
        """Notify the agent that no program has to wait for this follower any more."""
        if not self._over:
            self._unsent[-follower] = StopAsking(number=0, follower=follower)
            self._news.set()

    async def received(self, message: MessagesFound) -> None:
        """Pass the agent's answer to the caller that waits for it, if any."""
        found, answer = message, self._open.get(message.number)
        if answer is None or answer.done():
            return
        if found.page is None:
            answer.set_exception(BY_CODE.get(found.code, QuarterdeckError)(found.problem[:PROBLEM_CHARACTERS]))
        elif _is_sound(found.page):
            answer.set_result(_bounded(found.page))
        else:
            answer.set_exception(BadFrame("The node's answer is not a page of messages."))

    async def run(self) -> None:
        """Send questions until the link ends, which ends all of them."""
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                while self._unsent:
                    await self._link.send(self._unsent.pop(next(iter(self._unsent))))
        finally:
            self._end()

    # ── internals ────────────────────────────────────────────────────────────────────────────────────────────────────
    def _end(self) -> None:
        self._over = True
        for answer in self._open.values():
            if not answer.done():
                answer.set_exception(_gone())

    def _say(self, message: AskMessages | StopAsking) -> None:
        """Queue a message for `run`. A question that is cancelled before it was sent is removed instead."""
        if self._unsent.pop(message.number, None) is None:
            self._unsent[message.number] = message
            self._news.set()


def _is_sound(page: MessagePage) -> bool:
    """Return whether the page's numbers are within their limits: they become part of cursors."""
    cursors = (page.resume, page.cursor or "0")
    return (
        len(page.messages) <= PAGE_MESSAGES
        and 0 <= page.left_out < _PLACES
        and all(each.isascii() and each.isdecimal() and len(each) <= _CURSOR_DIGITS for each in cursors)
        and all(0 <= message.place < _PLACES and 0 <= message.id < _IDS for message in page.messages)
        and all(abs(message.epoch) < _PLACES for message in page.messages)
    )


def _bounded(page: MessagePage) -> MessagePage:
    """Return the page with its problems shortened to the limits."""
    problems = tuple(problem[:PROBLEM_CHARACTERS] for problem in page.problems[:PROBLEMS])
    return page if problems == page.problems else msgspec.structs.replace(page, problems=problems)


def _gone() -> Unavailable:
    return Unavailable("The node disconnected before it answered.")


def _written(wanted: MessageFilter) -> dict[str, Any]:
    """Return the filter as fields without unused ones, so that an older agent with fewer filters can decode it."""
    given = msgspec.to_builtins(wanted)
    return {name: value for name, value in given.items() if getattr(wanted, name) != getattr(_NONE, name)}
