"""The store: order, pages, filters, files that are full, and what is removed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quarterdeck.agent.messages.runs import Run, Source
from quarterdeck.agent.messages.store import FILE_BYTES, TOTAL_BYTES, MessageStore
from quarterdeck.link.frames import encode
from quarterdeck.model.messages import Message, MessageFilter, MessagePage

HOUR_S = 3600
NOON_MS = 1_800_000_000_000
SMALL = 256 * 1024


def run(
    *texts: str | bytes, job: str = "job", level: int = 1, at_ms: int = NOON_MS, first: int = 1, name: str = "web"
) -> Run:
    data = [text.encode() if isinstance(text, str) else text for text in texts]
    ids = range(first, first + len(data))
    return Run(Source(job, "shop", name), at_ms, [level] * len(data), data, [0] * len(data), ids)


def texts(page: MessagePage) -> list[str]:
    return [message.data for message in page.messages]


def everything(store: MessageStore, *, start: str = "", **wanted: Any) -> list[Message]:
    """Return all pages of a filter."""
    found: list[Message] = []
    cursor: str | None = start
    while cursor is not None:
        page = store.select(MessageFilter(cursor=cursor, **wanted))
        found += page.messages
        cursor = page.cursor
    return found


@pytest.fixture
def store(tmp_path: Path) -> MessageStore:
    return MessageStore(tmp_path / "messages")


def test_what_is_appended_is_found(store: MessageStore) -> None:
    store.append([run("one", b"tw\xff", first=7), run("err", level=2, job="other", at_ms=5)])
    page = store.select(MessageFilter())
    assert page.messages == (
        Message(id=7, job_id="job", domain="shop", name="web", epoch=NOON_MS, level=1, data="one", place=1),
        Message(
            id=8,
            job_id="job",
            domain="shop",
            name="web",
            epoch=NOON_MS,
            level=1,
            data="tw\ufffd",
            raw=b"tw\xff",
            place=2,
        ),
        Message(id=1, job_id="other", domain="shop", name="web", epoch=5, level=2, data="err", place=3),
    )
    assert page.cursor is None


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"job_id": "a"}, ["a1", "a2", "x%y"]),
        ({"job_id": "nobody"}, []),
        ({"name": "db"}, ["b1"]),
        ({"domain": "shop", "name": "web"}, ["a1", "a2", "x%y"]),
        ({"domain": "else"}, []),
        ({"levels": "2,7"}, ["a2", "x%y"]),
        ({"levels": (2,)}, ["a2"]),
        ({"levels": ""}, []),
        ({"time_from": 20}, ["a2", "b1", "x%y"]),
        ({"time_from": 20, "time_to": 30}, ["a2", "b1"]),
        ({"time_to": 20}, ["a1"]),
        ({"text": "1"}, ["a1", "b1"]),
        ({"text": "%"}, ["x%y"]),
        ({"text": "A"}, []),
        ({"job_id": "a", "levels": "1-2", "text": "a", "newest_first": True}, ["a2", "a1"]),
    ],
)
def test_a_filter_narrows(store: MessageStore, wanted: dict[str, Any], expected: list[str]) -> None:
    store.append([run("a1", job="a", at_ms=10), run("a2", job="a", level=2, at_ms=20)])
    store.append([run("b1", job="b", at_ms=20, name="db"), run("x%y", job="a", level=7, at_ms=30)])
    assert texts(store.select(MessageFilter(**wanted))) == expected  # type: ignore[arg-type]


def test_pages_follow_each_other_over_files_in_both_orders(tmp_path: Path) -> None:
    store = MessageStore(tmp_path, file_bytes=SMALL)
    for start in range(0, 6000, 500):
        store.append([run(*(f"{number} {'x' * 100}" for number in range(start, start + 500)), first=start)])
    assert len(list(tmp_path.glob("*.db"))) > 3
    assert [message.id for message in everything(store, limit=700)] == list(range(6000))
    newest = everything(store, limit=700, newest_first=True)
    assert [message.id for message in newest] == list(reversed(range(6000)))
    assert len(store.select(MessageFilter()).messages) == 1000


def test_a_page_is_bounded_in_bytes(store: MessageStore) -> None:
    store.append([run(*(b"x" * 256 * 1024 for _ in range(10)))])
    assert len(store.select(MessageFilter()).messages) == 3
    assert len(everything(store)) == 10


def test_a_page_of_bytes_that_are_no_text_is_bounded_as_it_is_sent(store: MessageStore) -> None:
    store.append([run(*(b"\xff" * 64 * 1024 for _ in range(30)))])
    page = store.select(MessageFilter())
    assert 0.5 * 1024 * 1024 < len(encode(page)) <= 1024 * 1024


def test_a_message_larger_than_a_page_is_a_page(store: MessageStore) -> None:
    store.append([run(b"x" * 5000, b"y")])
    assert [len(message.data) for message in store.select(MessageFilter(), page_bytes=1000).messages] == [5000]


def test_what_comes_after_the_newest_page_is_found_from_there(store: MessageStore) -> None:
    store.append([run("one", "two", "three")])
    page = store.select(MessageFilter(newest_first=True, limit=1))
    assert texts(page) == ["three"]
    assert texts(store.select(MessageFilter(cursor=page.resume))) == []
    store.append([run("four")])
    assert texts(store.select(MessageFilter(cursor=page.resume))) == ["four"]


def test_what_comes_later_is_found_from_where_a_page_ended(store: MessageStore) -> None:
    resume = store.select(MessageFilter()).resume
    store.append([run("one")])
    page = store.select(MessageFilter(cursor=resume))
    assert texts(page) == ["one"]
    assert texts(store.select(MessageFilter(cursor=page.resume))) == []
    store.append([run("two")])
    assert texts(store.select(MessageFilter(cursor=page.resume))) == ["two"]


def test_pages_stay_in_order_while_more_comes_and_files_are_renamed(tmp_path: Path) -> None:
    store = MessageStore(tmp_path, file_bytes=SMALL)
    found: list[int] = []
    cursor = ""
    for start in range(0, 6000, 500):
        store.append([run(*("x" * 100 for _ in range(500)), first=start)])
        page = store.select(MessageFilter(cursor=cursor, limit=300))
        found += [message.id for message in page.messages]
        cursor = page.resume
    found += [message.id for message in everything(store, start=cursor)]
    assert found == list(range(6000))


def test_a_full_file_gets_the_second_as_its_name_and_none_is_larger(tmp_path: Path) -> None:
    now_s = 1_800_000_000.5
    store = MessageStore(tmp_path, file_bytes=SMALL, now=lambda: now_s)
    for _ in range(40):
        store.append([run(*("x" * 100 for _ in range(300)))])
    files = sorted(path.name for path in tmp_path.glob("*.db"))
    assert files[:3] == ["1800000000.db", "1800000001.db", "1800000002.db"]
    assert files[-1] == "current.db"
    store.close()
    assert max(path.stat().st_size for path in tmp_path.iterdir()) <= SMALL
    assert not list(tmp_path.glob("*-wal"))
    assert FILE_BYTES <= 100_000_000 < TOTAL_BYTES, "as the document says, unless somebody says otherwise"


def test_a_clock_that_jumps_back_changes_neither_order_nor_rotation(tmp_path: Path) -> None:
    now_s = float(NOON_MS // 1000)
    store = MessageStore(tmp_path, file_bytes=SMALL, now=lambda: now_s)
    for start in range(0, 6000, 500):
        store.append([run(*("x" * 100 for _ in range(500)), first=start, at_ms=int(now_s * 1000))])
        if start == 2500:
            now_s -= HOUR_S
    store.close()
    store = MessageStore(tmp_path, file_bytes=SMALL, now=lambda: now_s)
    assert [message.id for message in everything(store)] == list(range(6000))
    early = everything(store, time_to=NOON_MS)
    assert [message.id for message in early] == list(range(3000, 6000))


def test_the_oldest_file_makes_room_and_its_messages_are_counted(tmp_path: Path) -> None:
    store = MessageStore(tmp_path, file_bytes=SMALL, total_bytes=4 * SMALL)
    for start in range(0, 20000, 500):
        store.append([run(*("x" * 100 for _ in range(500)), first=start)])
        assert store._files.size_bytes() < 6 * SMALL  # the size includes the current file's journal
    left = [message.id for message in everything(store)]
    assert left == list(range(store.counts.removed, 20000))
    assert store.counts.removed > 0
    assert store.counts.stored == 20000


def test_what_was_stored_is_there_after_a_restart(tmp_path: Path) -> None:
    store = MessageStore(tmp_path)
    assert store.last_id is None
    store.append([run("one", "two", first=41)])
    store.close()
    store = MessageStore(tmp_path)
    assert store.last_id == 42
    store.append([run("three", first=43)])
    assert texts(store.select(MessageFilter())) == ["one", "two", "three"]


def test_numbers_that_begin_again_keep_the_order(store: MessageStore) -> None:
    store.append([Run(Source("j"), 1, [1, 1], [b"a", b"b"], [0, 0], [2**32 - 1, 0])])
    assert [message.id for message in store.select(MessageFilter()).messages] == [2**32 - 1, 0]


def test_messages_are_deleted_and_an_empty_file_goes(tmp_path: Path) -> None:
    store = MessageStore(tmp_path, file_bytes=SMALL)
    for number in range(12):
        job = "old" if number < 6 else "new"
        store.append([run(*("x" * 100 for _ in range(500)), job=job), run("kept", job="kept")])
    files = len(list(tmp_path.glob("*.db")))
    assert store.delete(MessageFilter(job_id="old", limit=1)) == 3000
    assert {message.job_id for message in everything(store)} == {"new", "kept"}
    assert store.delete(MessageFilter(levels="1")) == 3012
    assert everything(store) == []
    assert len(list(tmp_path.glob("*.db"))) == 1 < files
    store.append([run("again")])
    assert texts(store.select(MessageFilter())) == ["again"]


@pytest.mark.parametrize("wanted", [{}, {"job_id": "job"}, {"job_id": "other"}, {"levels": "2"}, {"text": "7"}])
def test_who_skips_to_the_newest_is_told_exactly_how_many_messages_are_left_out(
    tmp_path: Path, wanted: dict[str, Any]
) -> None:
    store = MessageStore(tmp_path, file_bytes=SMALL // 2)
    for number in range(0, 6000, 10):
        job = "job" if number % 30 else "other"
        store.append([run(*(f"{each}" for each in range(number, number + 10)), job=job, level=1 + number % 20 // 10)])
    assert len(list(tmp_path.glob("*.db"))) > 2, "they are in several files"
    every = everything(store, **wanted)
    for behind in (0, 1, 99, len(every) - 8, len(every) - 1, len(every)):
        cursor = str(every[behind - 1].place) if behind else ""
        page = store.select(MessageFilter(cursor=cursor, limit=50, **wanted), skip=True)
        assert list(page.messages) == every[max(behind, len(every) - 50) :]
        assert page.left_out == max(0, len(every) - 50 - behind)
        assert page.cursor is None
    store.append([run("7 more", "7 later", job="job", level=2), run("7 of it", job="other", level=2)])
    new = texts(store.select(MessageFilter(cursor=page.resume, **wanted)))  # type: ignore[arg-type]
    assert new == [each.data for each in everything(store, **wanted)[len(every) :]]
    assert new


def test_who_skips_is_told_of_what_was_evicted_meanwhile(tmp_path: Path) -> None:
    store = MessageStore(tmp_path, file_bytes=SMALL, total_bytes=3 * SMALL)
    store.append([run("first")])
    for number in range(100):
        store.append([run(*[f"{number} " + "x" * 1000] * 10)])
    page = store.select(MessageFilter(cursor="1", limit=10), skip=True)
    there = len(everything(store, start="1"))
    assert page.left_out == there - 10
    assert "were evicted" in page.problems[0]
