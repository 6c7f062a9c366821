"""Message numbers: consecutive over restarts and kills, and wrapping after 2^32."""

from __future__ import annotations

from pathlib import Path

import pytest

from quarterdeck.agent.messages import ids as module
from quarterdeck.agent.messages.ids import BLOCK, MessageIds


def ids(folder: Path, *, last_stored: int | None = None) -> MessageIds:
    return MessageIds(folder / "next_id", last_stored=last_stored)


def test_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    first = ids(tmp_path)
    assert list(first.take(3)) == [0, 1, 2]
    assert list(first.take(1)) == [3]
    first.close()
    assert list(ids(tmp_path).take(2)) == [4, 5]


def test_no_number_is_given_twice_when_killed(tmp_path: Path) -> None:
    killed = ids(tmp_path)
    used = [*killed.take(BLOCK - 1), *killed.take(5)]
    again = ids(tmp_path).take(1)[0]
    assert again > max(used)


def test_the_file_is_not_written_for_each_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[bytes] = []
    monkeypatch.setattr(module, "write_private", lambda path, content: writes.append(content))
    counter = ids(tmp_path)
    for _ in range(10_000):
        counter.take(10)
    assert len(writes) == 1


@pytest.mark.parametrize("before", [2**32 - 3, 2**32 - 1, 2**32 - BLOCK])
def test_after_four_bytes_they_begin_again(tmp_path: Path, before: int) -> None:
    (tmp_path / "next_id").write_text(str(before))
    counter = ids(tmp_path)
    taken = [number for _ in range(3) for number in counter.take(BLOCK // 2)]
    assert taken == [(before + place) % 2**32 for place in range(len(taken))]
    counter.close()
    assert ids(tmp_path).take(1)[0] == (taken[-1] + 1) % 2**32


@pytest.mark.parametrize("damage", [b"", b"x", b"-1", b"9" * 12, b"\xff\xfe"])
def test_a_damaged_file_is_made_good_by_what_is_stored(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "next_id").write_bytes(damage)
    assert ids(tmp_path, last_stored=1000).take(1)[0] > 1000 + BLOCK - 1


def test_a_disk_that_takes_no_file_does_not_stop_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(module, "write_private", refuse)
        counter = ids(tmp_path)
        assert [*counter.take(2), *counter.take(2)] == [0, 1, 2, 3]
    counter.take(1)
    assert ids(tmp_path).take(1)[0] > 4
