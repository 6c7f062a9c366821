"""What a run of a process leaves for its result, however its output is cut."""

from __future__ import annotations

import tracemalloc

import pytest

from quarterdeck.agent.keeper.messages import Exited, OutputChunk, OutputLost
from quarterdeck.agent.messages.runs import Routing, Source
from quarterdeck.agent.processes.output import METERED, TAIL_BYTES, RunOutput, Tail
from quarterdeck.agent.processes.readings import Past, Reading
from quarterdeck.model.messages import Level, LogLevels, Message


def output(**levels: str) -> RunOutput:
    return RunOutput(Source("job"), Routing.of(LogLevels(**levels)))


def test_a_tail_has_the_last_thousand_lines_and_the_unfinished_one() -> None:
    tail = Tail()
    for number in range(3000):
        tail.add(b"%d\n" % number)
    assert tail.text() == "".join(f"{number}\n" for number in range(2000, 3000))
    tail.add(b"half")
    assert tail.text().splitlines()[-1] == "half"
    assert len(tail.text().splitlines()) == 1000


def test_a_tail_of_endless_lines_is_bounded() -> None:
    tail = Tail()
    for _ in range(100):
        tail.add(b"x" * 65536)
    assert len(tail.text()) == TAIL_BYTES


def test_a_tail_that_comes_byte_by_byte_takes_no_more_memory() -> None:
    tail = Tail()
    tracemalloc.start()
    for _ in range(100_000):
        tail.add(b".")
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert tail.text() == "." * 100_000
    assert taken < 500_000


def test_only_so_many_processes_are_measured_with_one() -> None:
    run = output()
    run.take(1, b"".join(b"101::%d\n" % (number % 500 + 1) for number in range(5000)))
    assert run.meter == list(range(1, METERED + 1))


def test_the_last_result_and_the_last_critical_message_count() -> None:
    run = output()
    run.take(1, b"20::first\n9::one\n21::second\n")
    run.take(2, b"9::two\n")
    assert run.data == ("second", 21)
    assert run.critical == "two"


@pytest.mark.parametrize("level", [20, 21, 22, 23, 30])
def test_what_a_job_returns_is_its_message_of_a_results_level(level: int) -> None:
    run = output()
    run.take(1, b"%d::one\n19::no level\n%d:::\na: 1\n\nb: 2\n:::\n3::more\n" % (level, level))
    assert run.data == ("a: 1\n\nb: 2", level)


def test_messages_are_counted_that_the_node_keeps() -> None:
    run = output(loglevels="1-9", loglevels_db="1")
    run.take(1, b"one\n7::no\n20::no\nunfinished")
    assert run.messages == 1
    run.end()
    assert run.messages == 2
    again = output()
    again.recall(Past(run.reading(began=1.0, seq=7), []))
    again.take(1, b"three\n")
    assert again.messages == 3


def test_a_result_in_pieces_is_put_together() -> None:
    run = output()
    text = b"[" + b"1," * 400_000 + b"1]"
    run.take(1, b"20::" + text[:500_000])
    run.take(1, text[500_000:] + b"\n")
    assert run.data == (text.decode(), 20)


def test_levels_that_are_not_processed_leave_no_trace() -> None:
    run = output(loglevels="1-8")
    assert not len(run.take(1, b"20::no\n9::no\n10::a:1|c\n"))
    assert (run.data, run.critical, run.samples) == (("", 0), "", [])


def test_another_life_goes_on_where_one_stopped() -> None:
    first = output()
    first.take(1, b"one\n5:::\nin a block\nunfin")
    reading = Reading.unpacked(first.reading(began=1.0, seq=7).packed())
    assert reading is not None
    past = [
        Message(id=0, job_id="job", epoch=0, level=1, data="one"),
        Message(id=1, job_id="job", epoch=0, level=20, data="{}"),
    ]
    second = output()
    second.recall(Past(reading, past))
    run = second.take(1, b"ished\n:::\ntwo\n")
    assert (run.levels, run.texts) == ([Level.LOG, Level.STDOUT], [b"in a block\nunfinished", b"two"])
    assert second.data == ("{}", 20)
    assert second.streams[0].startswith("one\n20::{}\n")
    assert second.streams[0].endswith("ished\n:::\ntwo\n")


def test_a_damaged_reading_is_none() -> None:
    assert Reading.unpacked(b"\x00damaged") is None


def test_what_was_told_to_a_life_that_could_not_store_it_is_counted_as_lost() -> None:
    def told(stream: int, offset: int, size: int) -> OutputChunk:
        return OutputChunk(id="job", seq=1, stream=stream, offset=offset, data=b"x" * size)

    first = output()
    assert [first.missed(told(1, 0, 10)), first.missed(told(2, 0, 5)), first.missed(told(1, 10, 10))] == [0, 0, 0]
    reading = first.reading(began=1.0, seq=3)
    assert first.missed(told(1, 20, 30)) == 0
    second = output()
    second.recall(Past(reading, []))
    assert second.missed(told(1, 50, 1)) == 30
    assert second.missed(OutputLost(id="job", seq=1, bytes=(4, 5))) == 9
    assert second.missed(told(2, 10, 1)) == 0
    assert second.missed(Exited(id="job", seq=1, code=0, ended=0.0, printed=(55, 13))) == 2
    third = output()
    third.recall(Past(second.reading(began=1.0, seq=9), []))
    assert third.missed(Exited(id="job", seq=1, code=None, ended=0.0, lost=True)) == 0, "its keeper knows no more"
