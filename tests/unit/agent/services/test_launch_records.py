"""What the next life knows of services: whole or nothing, and how they ended only until the host restarts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from quarterdeck.agent.services import launch_records as module
from quarterdeck.agent.services.launch_records import FinalOutcome, LaunchRecord, LaunchRecords
from quarterdeck.model.jobs import JobState

OVER = FinalOutcome(state=JobState.OK, code=0)


async def test_what_was_put_is_there_in_the_next_life(tmp_path: Path) -> None:
    file = tmp_path / "services.msgpack"
    records = LaunchRecords(file)
    await asyncio.gather(*(records.put(f"s{n}", LaunchRecord(program=str(n))) for n in range(50)))
    await records.put("s1", LaunchRecord(program="1", outcome=OVER))
    await records.forget("s2")
    again = LaunchRecords(file)
    assert again.get("s1") == LaunchRecord(program="1", outcome=OVER)
    assert again.get("s2") is None
    assert again.get("s49") == LaunchRecord(program="49")
    assert file.stat().st_mode & 0o777 == 0o600


async def test_after_a_restart_of_the_host_a_service_that_was_over_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "services.msgpack"
    await LaunchRecords(file).put("once", LaunchRecord(program="1", outcome=OVER))
    assert LaunchRecords(file).get("once") == LaunchRecord(program="1", outcome=OVER)
    monkeypatch.setattr(module, "boot_id", lambda: "another")
    assert LaunchRecords(file).get("once") == LaunchRecord(program="1")


@pytest.mark.parametrize("content", [b"", b"\xc1", b"garbage", msgspec.msgpack.encode({"boot_id": 1})])
async def test_a_damaged_file_is_no_record(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "services.msgpack"
    file.write_bytes(content)
    records = LaunchRecords(file)
    assert records.get("web") is None
    await records.put("web", LaunchRecord(program="1"))
    assert LaunchRecords(file).get("web") == LaunchRecord(program="1")


async def test_a_disk_that_takes_nothing_stops_no_service(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    records = LaunchRecords(tmp_path / "none" / "services.msgpack")
    await records.put("web", LaunchRecord(program="1"))
    assert records.get("web") == LaunchRecord(program="1")
    assert "could not be noted" in caplog.text
