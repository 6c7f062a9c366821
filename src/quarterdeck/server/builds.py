"""Builds of uploaded modules: a few run at a time, and one sender never occupies every slot.

Owns the order in which builds wait. A module whose compiler does not end occupies one slot until its time limit; the
builds of other senders continue. It never compiles anything: `modulekit` does.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from weakref import WeakValueDictionary

from quarterdeck.modulekit.build import Built, build_module
from quarterdeck.modulekit.compiler import Compiler


class Builds:
    """Builds uploaded modules in its own threads: compiling takes seconds, and queries must not wait for it."""

    def __init__(self, *, places: int = max(2, os.cpu_count() or 1)) -> None:
        self._threads = ThreadPoolExecutor(max_workers=places, thread_name_prefix="build")
        self._places = asyncio.Semaphore(places)
        self._for_one = max(places - 1, 1)
        self._senders: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def build(self, files: Mapping[str, bytes], *, sender: str) -> Built:
        """Build a module with a confined compiler as soon as a slot is free. Raise the errors of `build_module`."""
        own = self._senders.setdefault(sender, asyncio.Semaphore(self._for_one))
        await own.acquire()
        try:
            await self._places.acquire()
        except asyncio.CancelledError:
            own.release()
            raise
        loop = asyncio.get_running_loop()

        def leave() -> None:
            own.release()
            self._places.release()

        def left(_: object) -> None:
            with suppress(RuntimeError):  # the server has stopped in the meantime
                loop.call_soon_threadsafe(leave)

        building = self._threads.submit(build_module, files, Compiler(confined=True))
        building.add_done_callback(left)  # a build continues when its sender has disconnected, and keeps its slot
        return await asyncio.wrap_future(building)

    def close(self) -> None:
        """Start no further builds."""
        self._threads.shutdown(wait=False, cancel_futures=True)
