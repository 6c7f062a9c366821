"""Signals: parts of a server tell each other what has changed, once it is stored.

A signal names the subjects of a change and never has its content: a receiver reads that from the store. So signals may
be joined, and one from another server may arrive twice or late, or be lost with a connection; a receiver that may not
miss any also looks at the store from time to time. Subjects are values that can be encoded: numbers, texts, tuples.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Generator, Hashable, Iterable
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Generic, Protocol, TypeVar

S = TypeVar("S", bound=Hashable)


class Signal(Generic[S]):
    """A kind of change. `name` is unique; `subject` is the type of what changes."""

    def __init__(self, name: str, subject: type[S]) -> None:
        self.name = name
        self.subject = subject


class Signals(Protocol):
    """Passes signals from those who change something to those who wait for changes."""

    def send(self, signal: Signal[S], subjects: Iterable[S]) -> None:
        """Tell the receivers that these subjects have changed. Call it after the transaction of the change."""
        ...

    def listen(self, signal: Signal[S], listener: Callable[[Collection[S]], None]) -> None:
        """Call `listener` with the subjects of every signal; it must neither wait nor raise."""
        ...

    def follow(self, signal: Signal[S], subject: S) -> AbstractContextManager[asyncio.Event]:
        """Return an event that is set whenever this subject has changed."""
        ...


class LocalSignals:
    """Signals within one server: receivers are called at once. Use it from the event loop."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[Callable[[Collection[Any]], None]]] = {}
        self._followers: dict[tuple[str, Hashable], set[asyncio.Event]] = {}

    def send(self, signal: Signal[S], subjects: Iterable[S]) -> None:
        """Call the listeners, and set the events of the followers."""
        changed = frozenset(subjects)
        if not changed:
            return
        for listener in self._listeners.get(signal.name, ()):
            listener(changed)
        for subject in changed:
            for news in self._followers.get((signal.name, subject), ()):
                news.set()

    def listen(self, signal: Signal[S], listener: Callable[[Collection[S]], None]) -> None:
        """Call `listener` for every signal of this kind."""
        self._listeners.setdefault(signal.name, []).append(listener)

    @contextmanager
    def follow(self, signal: Signal[S], subject: S) -> Generator[asyncio.Event]:
        """Set an event for every change of one subject, until the context ends."""
        news = asyncio.Event()
        key = (signal.name, subject)
        followers = self._followers.setdefault(key, set())
        followers.add(news)
        try:
            yield news
        finally:
            followers.discard(news)
            if not followers:
                self._followers.pop(key, None)
