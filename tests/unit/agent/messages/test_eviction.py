"""A full store: the largest source loses messages first, the others keep theirs, and losses are reported."""

from __future__ import annotations

import itertools
from collections import defaultdict
from pathlib import Path
from random import Random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from quarterdeck.agent.messages.file import MessageFile
from quarterdeck.agent.messages.runs import Run, Source
from quarterdeck.agent.messages.store import MessageStore
from quarterdeck.model.errors import StorageFull
from quarterdeck.model.losses import Loss, LossReason
from quarterdeck.model.messages import MessageFilter
from tests.unit.agent.messages.test_store import everything

FILE = 256 * 1024
TOTAL = 8 * FILE
SHARE = TOTAL // 50
NOON_MS = 1_800_000_000_000


class Full:
    """A small store and the losses that it reports. Each message is numbered by its job."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.losses: list[Loss] = []
        self.printed: dict[str, int] = defaultdict(int)
        self._ids = itertools.count()
        self.open()

    def open(self) -> None:
        self.store = MessageStore(self.folder, file_bytes=FILE, total_bytes=TOTAL, lose=self.losses.append)

    def print(self, job: str, count: int, *, size: int = 100) -> None:
        first = self.printed[job]
        texts = [b"%d %b" % (first + number, b"x" * size) for number in range(count)]
        ids = [next(self._ids) for _ in texts]
        at_ms = NOON_MS + ids[0]
        self.store.append([Run(Source(job, "d", job), at_ms, [1] * count, texts, [0] * count, ids)])
        self.printed[job] += count

    def flood(self, job: str = "flood", *, files: int = 20) -> None:
        for _ in range(files):
            self.print(job, 500)
            self.print(job, 500)

    def kept(self, job: str) -> list[int]:
        return [int(message.data.split()[0]) for message in everything(self.store, job_id=job)]

    def check(self) -> None:
        """Check that all messages are in order, each job has its newest, and missing ones were counted."""
        found = everything(self.store)
        places = [message.place for message in found]
        assert places == sorted(set(places))
        newest_first = everything(self.store, newest_first=True)
        assert [message.place for message in newest_first] == places[::-1]
        by_job: dict[str, list[int]] = defaultdict(list)
        for message in found:
            by_job[message.job_id].append(int(message.data.split()[0]))
        for job, numbers in by_job.items():
            assert numbers == list(range(self.printed[job] - len(numbers), self.printed[job]))
        missing = sum(self.printed.values()) - len(found)
        assert {loss.reason for loss in self.losses} <= {LossReason.EVICTED}
        assert sum(loss.rows for loss in self.losses) == missing
        assert self.store._files.size_bytes() <= TOTAL + 2 * FILE  # pyright: ignore[reportPrivateUsage]


@pytest.fixture
def full(tmp_path: Path) -> Full:
    return Full(tmp_path / "messages")


def problems(full: Full, **wanted: object) -> list[str]:
    return list(full.store.select(MessageFilter(**wanted)).problems)  # type: ignore[arg-type]


def test_a_flood_evicts_its_own_lines_and_nobody_elses(full: Full) -> None:
    for number in range(30):
        full.print("service/web", 20)
        full.print(f"job{number}", 3)
        full.flood(files=2)
    full.check()
    assert full.kept("service/web") == list(range(600))
    assert all(full.kept(f"job{number}") == [0, 1, 2] for number in range(30))
    assert 0 < len(full.kept("flood")) < full.printed["flood"]
    assert {loss.detail for loss in full.losses} == {"of flood, beyond its share"}
    assert {loss.table for loss in full.losses} == {"messages"}


def test_several_floods_share_and_the_largest_gives_first(full: Full) -> None:
    full.flood("early", files=5)
    full.print("quiet", 5)
    for _ in range(40):
        full.flood("late", files=1)
        full.print("later", 200)
    full.check()
    assert full.kept("quiet") == [0, 1, 2, 3, 4]
    assert full.kept("later")
    assert len(full.kept("early")) * 100 >= SHARE / 2


def test_where_nobody_has_more_than_a_share_the_oldest_go(full: Full) -> None:
    for number in range(400):
        full.print(f"job{number}", 50)
    full.check()
    assert full.kept("job0") == []
    assert len(full.kept("job399")) == 50
    assert {loss.detail for loss in full.losses} == {"the oldest of all"}


def test_files_stay_few_and_none_is_too_large(full: Full) -> None:
    for number in range(30):
        full.print(f"job{number}", 10)
        full.flood(files=1)
    full.check()
    files = list(full.folder.glob("*.db"))
    assert len(files) <= 2 * TOTAL // FILE
    full.store.close()
    assert max(path.stat().st_size for path in files) <= FILE
    assert not list(full.folder.glob("*.part*"))


def test_what_was_evicted_is_said_to_whom_it_concerns(full: Full) -> None:
    full.print("service/web", 20)
    assert problems(full) == []
    full.flood()
    gone = full.printed["flood"] - len(full.kept("flood"))
    (said,) = problems(full, job_id="flood")
    assert said.startswith(f"{gone:,} older messages of flood, up to 2027-01-15 08:00:")
    assert problems(full) == [said] == problems(full, name="flood", domain="d")
    assert problems(full, job_id="service/web") == [] == problems(full, domain="other")
    assert problems(full, job_id="flood", newest_first=True, limit=5) == []  # its oldest are not asked for
    assert problems(full, job_id="flood", time_from=NOON_MS + 10**9) == []
    cursor = full.store.select(MessageFilter(job_id="flood", limit=1)).resume
    assert problems(full, job_id="flood", cursor=cursor) == []
    assert "flood" in problems(full, job_id="flood", cursor="1")[0]  # a follower that was too slow
    last = everything(full.store, job_id="flood")[0].place
    assert problems(full, job_id="flood", newest_first=True, cursor=str(last + 1)) == [said]
    full.store.close()
    full.open()
    assert problems(full, job_id="flood") == [said]


def test_two_that_lost_some_are_counted_together(full: Full) -> None:
    full.flood("one", files=9)
    full.flood("two", files=9)
    assert "of 2 jobs and services" in problems(full)[0]


def test_how_far_processes_were_read_moves_along(full: Full) -> None:
    full.store.append([], {"quiet": b"here", "gone": b"x"})
    full.print("quiet", 3)
    full.flood(files=3)
    full.store.append([], {"gone": None})
    full.flood()
    assert full.store.readings() == {"quiet": b"here"}


def test_a_kill_in_the_middle_of_a_move_loses_and_repeats_no_message(
    full: Full, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quarterdeck.agent.messages.eviction.remove", _killed)
    full.print("quiet", 5)
    with pytest.raises(KeyboardInterrupt):
        full.flood(files=100)
    monkeypatch.undo()
    places = [message.place for message in everything(full.store)]
    assert places == sorted(set(places))  # a message in two files is found once
    full.store.close()
    (full.folder / "1.part").write_bytes(b"begun")
    full.open()
    assert not list(full.folder.glob("*.part"))
    full.flood()
    assert full.kept("quiet") == [0, 1, 2, 3, 4]
    places = [message.place for message in everything(full.store)]
    assert places == sorted(set(places))


def _killed(_: Path) -> None:
    raise KeyboardInterrupt


def test_a_disk_that_has_no_room_to_move_loses_the_oldest_instead(full: Full, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise StorageFull("No space is left.")

    full.print("quiet", 5)
    monkeypatch.setattr(MessageFile, "take_over", refused)
    full.flood()
    full.check()
    assert full.kept("quiet") == []


def test_a_file_that_is_found_to_be_damaged_is_set_aside_and_the_rest_makes_room(full: Full) -> None:
    full.print("quiet", 5)
    full.flood(files=5)
    full.store.close()
    oldest = min(path for path in full.folder.glob("*.db") if path.stem.isdecimal())
    content = bytearray(oldest.read_bytes())
    for at in range(4096 * 5, len(content), 4096):  # pages of tables, not of the schema
        content[at : at + 64] = b"\xff" * 64
    oldest.write_bytes(content)
    full.open()
    full.flood()
    assert full.store.counts.damaged == 1
    places = [message.place for message in everything(full.store)]
    assert places == sorted(set(places))
    assert full.store._files.size_bytes() <= TOTAL + 2 * FILE  # pyright: ignore[reportPrivateUsage]


def test_a_store_of_many_small_prints_evicts_from_the_largest_until_there_is_room(full: Full) -> None:
    """Check that files shrink by whole pages, so that the first eviction may free less than it should."""
    random = Random(28)
    full.print("quiet", 5)
    for _ in range(400):
        full.print(random.choice("abcde"), random.randint(1, 300), size=random.choice([10, 100, 700]))
    full.check()
    assert full.kept("quiet") == [0, 1, 2, 3, 4]
    assert {loss.detail for loss in full.losses} == {f"of {job}, beyond its share" for job in "abcde"}


@settings(deadline=None, max_examples=8, phases=[Phase.generate])
@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "c", "d", "e"]), st.integers(1, 300), st.sampled_from([10, 100, 700])),
        min_size=40,
        max_size=80,
    ),
    st.sets(st.integers(0, 50), max_size=5),
)
def test_whatever_is_printed_the_newest_of_each_stay_and_losses_are_counted(
    tmp_path_factory: pytest.TempPathFactory, prints: list[tuple[str, int, int]], restarts: set[int]
) -> None:
    full = Full(tmp_path_factory.mktemp("full"))
    full.print("quiet", 5)
    for number, (job, count, size) in enumerate(prints):
        if number in restarts:
            full.store.close()
            full.open()
        full.print(job, count, size=size)
    full.check()
    assert full.kept("quiet") == [0, 1, 2, 3, 4]
    full.store.close()
