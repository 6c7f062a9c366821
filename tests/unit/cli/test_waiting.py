"""`--wait`: until all that is on nodes that are online is settled, and how that ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from quarterdeck.cli import waiting
from quarterdeck.cli.waiting import Awaited, Outlook, Wait, Waited, reasons_of, wait_for
from quarterdeck.model.errors import BadInput, NoSuchNodes, TimedOut, Unavailable
from quarterdeck.model.nodes import AgentState, Node, NodeKey

PENDING, WELL, FAILED = Outlook.PENDING, Outlook.WELL, Outlook.FAILED


def on(nid: int, outlook: Outlook, reason: str = "") -> Awaited:
    return Awaited(NodeKey(1, nid), f"n{nid}", outlook, outlook.name, reason)


class Fleet:
    """Nodes of which these are online at each look; the last list holds from then on. An error is raised instead."""

    def __init__(self, *online: Sequence[int] | Exception) -> None:
        self._looks = list(online)
        self.nodes = SimpleNamespace(list=self.list_nodes)

    def list_nodes(self) -> list[Node]:
        now = self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]
        if isinstance(now, Exception):
            raise now
        return [
            Node(
                gid=1,
                nid=nid,
                name=f"n{nid}",
                agent_id="",
                state=AgentState.ONLINE if nid in now else "OFFLINE",  # type: ignore[arg-type]
            )
            for nid in (1, 2, 3)
        ]


def wait(fleet: Fleet, *looks: Sequence[Awaited], limit_s: float = 60.0) -> Waited:
    """Wait for what is found at these looks; the last one is found from then on."""
    left: Iterator[Sequence[Awaited]] = iter(looks)

    def find() -> Sequence[Awaited]:
        return next(left, looks[-1])

    return wait_for(cast("Any", fleet), find, doing="testing", limit_s=limit_s, poll_s=0)


@pytest.mark.parametrize(
    ("given", "limit_s"),
    [(Wait(), None), (Wait(wait=True), 60.0), (Wait(wait=True, timeout="1m30s"), 90.0)],
)
def test_the_limit_is_that_of_the_option_or_a_minute(given: Wait, limit_s: float | None) -> None:
    assert given.limit_s == limit_s


def test_a_limit_without_a_wait_is_an_error() -> None:
    with pytest.raises(BadInput, match="--timeout limits --wait"):
        _ = Wait(timeout="5s").limit_s


def test_it_waits_until_nothing_is_pending() -> None:
    waited = wait(Fleet([1, 2]), [on(1, PENDING), on(2, FAILED)], [on(1, WELL), on(2, PENDING)], [on(1, WELL)])
    assert waited.found == [on(1, WELL)]
    assert waited.total == 2, "what is not found any more is counted"
    waited.check_time("It", reasons=False)
    waited.check_online()


def test_what_failed_is_told_apart() -> None:
    waited = wait(Fleet([1, 2]), [on(1, WELL), on(2, FAILED)])
    assert (waited.of(WELL), waited.of(FAILED), waited.of(PENDING)) == ([on(1, WELL)], [on(2, FAILED)], [])


@pytest.mark.parametrize("reasons", [False, True])
def test_when_the_time_is_over_the_nodes_are_named_with_their_reasons(*, reasons: bool) -> None:
    waited = wait(Fleet([1, 2]), [on(1, WELL), on(2, PENDING, "It compiles.")], limit_s=0)
    with pytest.raises(TimedOut, match=r"execs is still on its way after 0s: n2\.") as raised:
        waited.check_time("execs", reasons=reasons)
    assert raised.value.lines == (("n2: PENDING: It compiles.",) if reasons else ())


def test_offline_nodes_are_left_out_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    waited = wait(Fleet([1]), [on(1, WELL), on(3, PENDING)])
    assert (waited.found, waited.total) == ([on(1, WELL)], 1)
    waited.check_online()
    waited.print_left_out()
    assert "not waited for: n3: offline" in capsys.readouterr().err


def test_a_node_that_goes_offline_meanwhile_is_waited_for() -> None:
    waited = wait(Fleet([1, 2], [1]), [on(1, WELL), on(2, PENDING)], [on(1, WELL), on(2, PENDING)], [on(2, WELL)])
    assert (waited.found, waited.left_out) == ([on(2, WELL)], [])


def test_a_node_that_comes_online_meanwhile_is_waited_for() -> None:
    waited = wait(Fleet([1], [1, 2]), [on(1, PENDING), on(2, PENDING)], [on(1, WELL), on(2, PENDING)], [on(2, WELL)])
    assert (waited.found, waited.left_out) == ([on(2, WELL)], [])


def test_where_all_nodes_are_offline_there_is_nothing_to_wait_for() -> None:
    waited = wait(Fleet([]), [on(1, PENDING)])
    with pytest.raises(NoSuchNodes, match="online"):
        waited.check_online()


def test_nothing_at_all_is_no_error() -> None:
    waited = wait(Fleet([1]), [])
    waited.check_online()
    assert waited.total == 0


def test_a_server_that_is_away_is_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    away = Unavailable("Nothing answers.")
    assert wait(Fleet([1], away, away, [1]), [on(1, PENDING)], [on(1, WELL)]).found == [on(1, WELL)]
    assert capsys.readouterr().err.count("does not answer") == 1


def test_a_server_that_stays_away_is_an_error() -> None:
    with pytest.raises(Unavailable, match="Nothing answers"):
        wait(Fleet(Unavailable("Nothing answers.")), [on(1, PENDING)], limit_s=0)


def test_who_ends_the_wait_is_told_that_the_nodes_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    def find() -> Sequence[Awaited]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wait_for(cast("Any", Fleet([1])), find, doing="testing", limit_s=60)
    assert "the nodes go on" in capsys.readouterr().err


@pytest.mark.parametrize(("count", "last"), [(3, "n3: FAILED"), (25, "… and 5 more")])
def test_reasons_are_a_line_for_each_of_the_first_nodes(count: int, last: str) -> None:
    lines = reasons_of([on(nid, FAILED) for nid in range(1, count + 1)])
    assert lines[0] == "n1: FAILED"
    assert lines[-1] == last


def test_the_progress_line_says_how_many_are_done_and_who_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    show: Callable[[object, str], None] = lambda _, text: shown.append(text)  # noqa: E731
    monkeypatch.setattr(waiting.Progress, "show", show)
    wait(Fleet([1, 2]), [on(1, PENDING), on(2, PENDING)], [on(1, WELL), on(2, PENDING)], [on(2, WELL)])
    assert shown == ["testing: 0 of 2, waiting for n1, n2", "testing: 1 of 2, waiting for n2"]
