"""The keeper's epoll: it calls the handler of each ready descriptor, except of those on hold.

When the system refuses an operation of a handler (no memory, no descriptor, no disk space), the error is logged and the
handler is called again later; the keeper does not end. A handler must therefore be safe to repeat.
"""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress

from quarterdeck.keeper.log import note

TYPE_CHECKING = False  # typing itself costs memory
if TYPE_CHECKING:
    from collections.abc import Callable

    from quarterdeck.keeper.timers import Timers


class Poller:
    """Descriptors and their handlers."""

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._epoll = select.epoll()
        self._handlers: dict[int, tuple[int, Callable[[int], None]]] = {}
        self._held: set[int] = set()
        self.held_since = 0.0  #: when the first descriptor was put on hold, monotonic

    @property
    def holds(self) -> bool:
        """Return whether at least one descriptor is on hold."""
        return bool(self._held)

    def watch(self, descriptor: int, events: int, handler: Callable[[int], None]) -> None:
        """Call the handler when one of the events occurs."""
        self._handlers[descriptor] = events, handler
        self._held.add(descriptor)
        self._look_at(descriptor)

    def change(self, descriptor: int, events: int) -> None:
        """Change the events to watch for."""
        _, handler = self._handlers[descriptor]
        self._handlers[descriptor] = events, handler
        if descriptor not in self._held:
            self._epoll.modify(descriptor, events)

    def hold(self, descriptor: int) -> None:
        """Ignore the descriptor until `release`."""
        if not self._held:
            self.held_since = time.monotonic()
        self._held.add(descriptor)
        self._unregister(descriptor)

    def is_held(self, descriptor: int) -> bool:
        """Return whether the descriptor is on hold."""
        return descriptor in self._held

    def release(self) -> None:
        """Watch all descriptors again that were on hold."""
        for descriptor in list(self._held):
            self._look_at(descriptor)

    def close(self, descriptor: int) -> None:
        """Stop watching the descriptor and close it."""
        if self._handlers.pop(descriptor, None) is not None and descriptor not in self._held:
            self._unregister(descriptor)
        self._held.discard(descriptor)
        with suppress(OSError):  # the descriptor is closed even after an error
            os.close(descriptor)

    def run(self, wait_s: float) -> None:
        """Wait at most this long (-1: for ever), and call the handlers of the descriptors that are ready."""
        try:
            ready = self._epoll.poll(wait_s)
        except OSError as error:
            note(f"waiting for descriptors failed: {error}")
            time.sleep(self._timers.retry_s)
            return
        for descriptor, events in ready:
            _, handler = self._handlers.get(descriptor, (0, None))
            if handler is None:
                continue
            try:
                handler(events)
            except Exception as error:  # noqa: BLE001 (no error may end the programs)
                note(f"{handler.__qualname__}: {error!r}; it is tried again")
                self._pause(descriptor)

    def _pause(self, descriptor: int) -> None:
        """Ignore the descriptor for a while."""
        if descriptor in self._handlers and descriptor not in self._held:
            self.hold(descriptor)
        self._timers.again(lambda: self._look_at(descriptor))

    def _look_at(self, descriptor: int) -> None:
        if descriptor not in self._held:
            return
        try:
            self._epoll.register(descriptor, self._handlers[descriptor][0])
        except FileExistsError:  # it could not be unregistered before
            pass
        except OSError as error:
            note(f"a descriptor cannot be watched: {error}; it is tried again")
            self._timers.again(lambda: self._look_at(descriptor))
            return
        self._held.discard(descriptor)

    def _unregister(self, descriptor: int) -> None:
        with suppress(OSError):
            self._epoll.unregister(descriptor)
