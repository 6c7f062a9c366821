"""Turns: one job at a time in a queue, in order; one limit for all; every job gets its turn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.agent.jobs.queues import Queues


def test_jobs_of_one_queue_run_one_at_a_time_in_order() -> None:
    queues = Queues(10)
    assert queues.begin("a", "disk")
    assert not queues.begin("b", "disk")
    queues.wait("b", "disk")
    queues.wait("c", "disk")
    assert queues.begin("x")
    assert queues.next() == []
    queues.end("a")
    assert not queues.begin("d", "disk"), "b and c were first"
    assert queues.next() == ["b"]
    queues.end("b")
    assert queues.next() == ["c"]


def test_no_more_than_the_limit_run_and_the_oldest_is_next() -> None:
    queues = Queues(2)
    assert queues.begin("a", "disk")
    assert queues.begin("b")
    for name, queue in (("c", "disk"), ("d", ""), ("e", "net")):
        assert not queues.begin(name, queue)
        queues.wait(name, queue)
    queues.end("b")
    assert queues.next() == ["d"], "c was first, but its queue is busy"
    queues.end("a")
    assert queues.next() == ["c"]


def test_an_immediate_job_takes_no_place_in_the_queue() -> None:
    queues = Queues(1)
    assert queues.begin("long")
    assert queues.begin("kill", immediate=True)
    queues.end("kill")
    assert not queues.begin("other")


def test_a_waiting_job_that_ends_frees_no_place() -> None:
    queues = Queues(1)
    assert queues.begin("a")
    queues.wait("b")
    assert queues.waits("b")
    queues.end("b")
    assert not queues.waits("b")
    assert queues.next() == []
    queues.end("a")
    assert queues.next() == []
    assert queues.begin("c")


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.sampled_from(["", "q", "r"]), st.booleans(), st.integers(0, 5)), max_size=30),
)
def test_every_job_gets_its_turn_and_the_rules_hold(limit: int, arrivals: list[tuple[str, bool, int]]) -> None:
    queues = Queues(limit)
    begun: list[int] = []
    order: list[int] = []

    def begin(numbers: list[int]) -> None:
        begun.extend(numbers)
        order.extend(numbers)
        named = [arrivals[number][0] for number in begun if arrivals[number][0]]
        assert len(named) == len(set(named))
        assert sum(not arrivals[number][1] for number in begun) <= limit

    def end() -> None:
        queues.end(str(begun.pop(0)))
        begin([int(id_) for id_ in queues.next()])

    for number, (queue, immediate, ends) in enumerate(arrivals):
        if queues.begin(str(number), queue, immediate=immediate):
            begin([number])
        else:
            queues.wait(str(number), queue, immediate=immediate)
        for _ in range(min(ends, len(begun))):
            end()
    while begun:
        end()
    assert sorted(order) == list(range(len(arrivals)))
    for queue in ("q", "r"):
        in_queue = [number for number in order if arrivals[number][0] == queue]
        assert in_queue == sorted(in_queue)
