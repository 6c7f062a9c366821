"""What the next life knows of services: whole or nothing, and how they ended only until the host restarts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from quarterdeck.agent.services import memory as module
from quarterdeck.agent.services.memory import Memory, Over, Told
from quarterdeck.model.jobs import JobState

OVER = Over(state=JobState.OK, code=0)


async def test_what_was_put_is_there_in_the_next_life(tmp_path: Path) -> None:
    file = tmp_path / "services.msgpack"
    memory = Memory(file)
    await asyncio.gather(*(memory.put(f"s{n}", Told(program=str(n))) for n in range(50)))
    await memory.put("s1", Told(program="1", over=OVER))
    await memory.forget("s2")
    again = Memory(file)
    assert again.get("s1") == Told(program="1", over=OVER)
    assert again.get("s2") is None
    assert again.get("s49") == Told(program="49")
    assert file.stat().st_mode & 0o777 == 0o600


async def test_after_a_restart_of_the_host_a_service_that_was_over_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "services.msgpack"
    await Memory(file).put("once", Told(program="1", over=OVER))
    assert Memory(file).get("once") == Told(program="1", over=OVER)
    monkeypatch.setattr(module, "boot_id", lambda: "another")
    assert Memory(file).get("once") == Told(program="1")


@pytest.mark.parametrize("content", [b"", b"\xc1", b"garbage", msgspec.msgpack.encode({"boot_id": 1})])
async def test_a_damaged_file_is_no_memory(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "services.msgpack"
    file.write_bytes(content)
    memory = Memory(file)
    assert memory.get("web") is None
    await memory.put("web", Told(program="1"))
    assert Memory(file).get("web") == Told(program="1")


async def test_a_disk_that_takes_nothing_stops_no_service(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    memory = Memory(tmp_path / "none" / "services.msgpack")
    await memory.put("web", Told(program="1"))
    assert memory.get("web") == Told(program="1")
    assert "could not be noted" in caplog.text
