"""Spilled segments: written batches are read again; damage is counted; foreign files are left alone."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import pytest

from quarterdeck.agent.spill import DamagedSegment, Segment, SpillFolder
from quarterdeck.link.messages import TelemetryBatch
from quarterdeck.model.losses import Loss, LossReason


def batch(seq: int, *, rows: int = 10, table: str = "t", losses: tuple[Loss, ...] = ()) -> TelemetryBatch:
    return TelemetryBatch(
        epoch="e", seq=seq, floor=0, table=table, fingerprint="f", rows=rows, body=b"b" * 100, module="m", losses=losses
    )


TRAPPED = Loss(table="t", reason=LossReason.TRAP, rows=3)
BATCHES = [batch(1), batch(2, table="u", rows=5), batch(3, losses=(TRAPPED,))]


def damaged(spill: SpillFolder, segment: Segment) -> dict[tuple[str, str], int]:
    with pytest.raises(DamagedSegment) as caught:
        spill.read(segment)
    return {(loss.table, loss.reason): loss.rows for loss in caught.value.losses}


def test_a_segment_survives_the_process(tmp_path: Path) -> None:
    written = SpillFolder(tmp_path).write(BATCHES)
    (found,) = SpillFolder(tmp_path).segments()
    assert found == written
    assert (found.first, found.last, found.batches, found.rows) == (1, 3, 3, 25)
    assert SpillFolder(tmp_path).read(found) == BATCHES
    assert stat.S_IMODE(Path(found.path).stat().st_mode) == 0o600


def test_segments_come_oldest_first(tmp_path: Path) -> None:
    spill = SpillFolder(tmp_path)
    for seq in (1, 2, 3):
        spill.write([batch(seq)])
    assert [segment.first for segment in spill.segments()] == [1, 2, 3]


def test_rotten_bodies_are_counted_by_table_with_the_losses_they_carried(tmp_path: Path) -> None:
    spill = SpillFolder(tmp_path)
    segment = spill.write(BATCHES)
    content = Path(segment.path).read_bytes()
    Path(segment.path).write_bytes(content.replace(b"b" * 300, b"b" * 299 + b"X"))
    assert damaged(spill, segment) == {("t", "corrupt"): 20, ("u", "corrupt"): 5, ("t", "trap"): 3}


@pytest.mark.parametrize("keep", [slice(40, None), slice(None, 150), slice(None, 200)])
def test_one_good_copy_of_the_header_is_enough_to_count_by_table(tmp_path: Path, keep: slice) -> None:
    spill = SpillFolder(tmp_path)
    segment = spill.write([batch(1)])
    content = Path(segment.path).read_bytes()
    Path(segment.path).write_bytes(content[keep])
    assert damaged(spill, segment) == {("t", "corrupt"): 10}


@pytest.mark.parametrize("content", [b"", b"\0" * 4000, b"short"])
def test_the_name_is_enough_to_count_all_rows(tmp_path: Path, content: bytes) -> None:
    spill = SpillFolder(tmp_path)
    segment = spill.write(BATCHES)
    Path(segment.path).write_bytes(content)
    assert damaged(spill, segment) == {("", "corrupt"): 25}


def test_a_vanished_file_is_counted(tmp_path: Path) -> None:
    spill = SpillFolder(tmp_path)
    segment = spill.write(BATCHES)
    Path(segment.path).unlink()
    assert damaged(spill, segment) == {("", "corrupt"): 25}


def test_damaged_segments_are_kept_for_a_look_but_only_the_latest(tmp_path: Path) -> None:
    spill = SpillFolder(tmp_path)
    for seq in range(20):
        spill.set_aside(spill.write([batch(seq)]))
    assert spill.segments() == []
    assert len(list(tmp_path.glob("*.damaged"))) == 8


def test_half_written_files_go_and_foreign_files_stay(tmp_path: Path) -> None:
    (tmp_path / "e.1.1.1.10.spill.new").write_bytes(b"half")
    (tmp_path / "notes.spill").write_bytes(b"mine")
    assert SpillFolder(tmp_path).segments() == []
    assert [path.name for path in tmp_path.iterdir()] == ["notes.spill"]


def test_losses_of_a_dropped_segment(tmp_path: Path) -> None:
    spill = SpillFolder(tmp_path)
    lost = spill.losses(spill.write(BATCHES), LossReason.TOO_OLD)
    assert {(loss.table, loss.reason): loss.rows for loss in lost} == {
        ("t", "too_old"): 20,
        ("u", "too_old"): 5,
        ("t", "trap"): 3,
    }


def test_a_batch_is_the_same_after_disk(tmp_path: Path) -> None:
    spill = SpillFolder(tmp_path)
    (read,) = spill.read(spill.write([BATCHES[2]]))
    assert msgspec.structs.asdict(read) == msgspec.structs.asdict(BATCHES[2])


def test_a_header_of_another_version_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spill = SpillFolder(tmp_path)
    encode = msgspec.msgpack.encode

    def with_more(header: object) -> bytes:
        return encode(
            {**msgspec.to_builtins(header, builtin_types=(bytes,)), "later": "a key that this version does not know"}
        )

    with monkeypatch.context() as patch:
        patch.setattr(msgspec.msgpack, "encode", with_more)
        segment = spill.write(BATCHES)
    assert spill.read(segment) == BATCHES
