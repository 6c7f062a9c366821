"""`qd service show`: why a service is as it is on each node."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from quarterdeck.cli import main, service
from quarterdeck.model.nodes import Selector
from quarterdeck.model.services import (
    Service,
    ServiceOnNode,
    ServiceState,
    ServiceStatus,
    ServiceWithNodes,
)

Shown = Callable[..., str]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shown:
    """Return what prints a service with a status on one node."""

    def show(*, wanted: bool = True, **status: Any) -> str:
        said = ServiceStatus(name="web", revision=1, version="v1", **status)
        node = ServiceOnNode(name="web", gid=1, nid=1, node_name="web-1", wanted=wanted, status=said)
        web = Service(name="web", command=("true",), selector=Selector())

        @contextmanager
        def connect() -> Generator[SimpleNamespace]:
            found = ServiceWithNodes(service=web, version="v1", nodes=(node,))
            yield SimpleNamespace(services=SimpleNamespace(get=lambda _: found))

        monkeypatch.setattr(service, "connect", connect)
        monkeypatch.setattr(sys, "argv", ["qd", "service", "show", "web"])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as ended:
            sys.exit(main.main())
        assert not ended.value.code
        return " ".join(capsys.readouterr().out.split())

    return show


def test_how_the_previous_run_ended_is_shown_while_the_next_one_runs(shown: Shown) -> None:
    found = shown(state=ServiceState.RUNNING, pid=7, restarts=2, ended="killed by SIGSEGV")
    assert "The previous run ended: killed by SIGSEGV." in found


def test_a_reason_is_shown_alone(shown: Shown) -> None:
    reason = "It took more than its 64 MiB of memory."
    found = shown(state=ServiceState.FAILED, reason=reason, ended="killed by SIGKILL")
    assert reason in found
    assert "previous run" not in found


def test_a_service_that_is_being_removed_is_marked(shown: Shown) -> None:
    assert "It is being removed." in shown(wanted=False, state=ServiceState.STOPPING)
