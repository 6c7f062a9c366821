"""A module whose compiler does not end occupies one slot, not the whole queue."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping

import pytest

from quarterdeck.model.errors import BadManifest
from quarterdeck.modulekit.compiler import Compiler
from quarterdeck.server import builds
from quarterdeck.server.builds import Builds
from tests.support import until


class Endless:
    """Builds that end when the test says so; records the senders in the order of their starts."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.end = threading.Event()
        self.confined: set[bool] = set()

    def __call__(self, files: Mapping[str, bytes], compiler: Compiler) -> str:
        name = next(iter(files))
        self.begun.append(name)
        self.confined.add(compiler.confined)
        if name.startswith("endless"):
            self.end.wait()
        if name == "bad":
            raise BadManifest("This is bad.")
        return name


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endless]:
    endless = Endless()
    monkeypatch.setattr(builds, "build_module", endless)
    yield endless
    endless.end.set()


async def begun(endless: Endless, count: int) -> None:
    await until(lambda: len(endless.begun) >= count)


async def test_others_go_on_while_one_sends_modules_without_an_end(endless: Endless) -> None:
    queue = Builds(places=2)
    held = [asyncio.create_task(queue.build({f"endless {n}": b""}, sender="mallory")) for n in range(5)]
    await begun(endless, 1)
    assert await queue.build({"good": b""}, sender="alice") == "good"  # type: ignore[comparison-overlap]
    assert endless.begun == ["endless 0", "good"]
    endless.end.set()
    assert await asyncio.gather(*held) == [f"endless {n}" for n in range(5)]


async def test_whoever_leaves_keeps_the_place_until_the_build_has_ended(endless: Endless) -> None:
    queue = Builds(places=2)
    first = asyncio.create_task(queue.build({"endless": b""}, sender="mallory"))
    await begun(endless, 1)
    first.cancel()
    second = asyncio.create_task(queue.build({"second": b""}, sender="mallory"))
    await queue.build({"good": b""}, sender="alice")
    assert endless.begun == ["endless", "good"]
    endless.end.set()
    await second
    assert endless.begun == ["endless", "good", "second"]


async def test_whoever_leaves_while_waiting_makes_way(endless: Endless) -> None:
    queue = Builds(places=1)
    first = asyncio.create_task(queue.build({"endless": b""}, sender="alice"))
    await begun(endless, 1)
    waiting = asyncio.create_task(queue.build({"left": b""}, sender="bob"))
    await asyncio.sleep(0)
    waiting.cancel()
    third = asyncio.create_task(queue.build({"third": b""}, sender="bob"))
    endless.end.set()
    await asyncio.gather(first, third)
    assert endless.begun == ["endless", "third"]


async def test_what_a_build_raises_reaches_its_sender_and_frees_the_place(endless: Endless) -> None:
    queue = Builds(places=1)
    for _ in range(3):
        with pytest.raises(BadManifest):
            await queue.build({"bad": b""}, sender="alice")
    assert endless.confined == {True}, "what comes through the API is compiled confined"
