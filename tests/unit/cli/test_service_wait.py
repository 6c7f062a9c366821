"""When a service is on a node as it was applied, and how `qd service apply --wait` ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from quarterdeck.cli.service_wait import awaited
from quarterdeck.cli.waiting import Outlook
from quarterdeck.model.nodes import AgentState, Node
from quarterdeck.model.services import (
    AppliedServices,
    ApplyServices,
    Change,
    Service,
    ServiceChange,
    ServiceOnNode,
    ServiceState,
    ServiceStatus,
    ServiceWithNodes,
)
from tests.unit.cli.conftest import CallQd

PENDING, WELL, FAILED = Outlook.PENDING, Outlook.WELL, Outlook.FAILED
LASTING, ONCE = Service(name="web", command=("web",)), Service(name="web", command=("web",), max_time=0)
NEW = "new"


def on_node(
    state: ServiceState, nid: int = 1, *, version: str = NEW, wanted: bool = True, **more: Any
) -> ServiceOnNode:
    status = ServiceStatus(name="web", state=state, revision=1, version=version, **more)
    return ServiceOnNode(name="web", gid=1, nid=nid, node_name=f"n{nid}", wanted=wanted, status=status)


def info(*nodes: ServiceOnNode, service: Service = LASTING) -> ServiceWithNodes:
    return ServiceWithNodes(service=service, version=NEW, nodes=nodes)


@pytest.mark.parametrize(
    ("one", "outlook"),
    [
        (on_node(ServiceState.RUNNING), WELL),
        (on_node(ServiceState.RUNNING, version="old"), PENDING),
        (on_node(ServiceState.WAITING, version=""), PENDING),
        (on_node(ServiceState.WAITING), WELL),
        (on_node(ServiceState.STARTING), PENDING),
        (on_node(ServiceState.STOPPING), PENDING),
        (on_node(ServiceState.STOPPED), FAILED),
        (on_node(ServiceState.FAILED), FAILED),
        (on_node(ServiceState.FAILED, version=""), FAILED),
        (on_node(ServiceState.FAILED, version="old"), PENDING),
        (on_node(ServiceState.BACKOFF), FAILED),
        (on_node(ServiceState.BACKOFF, version="old"), PENDING),
        (on_node(ServiceState.UNHEALTHY), FAILED),
        (on_node(ServiceState.RUNNING, wanted=False), PENDING),
    ],
)
def test_a_status_counts_only_for_the_version_that_was_applied(one: ServiceOnNode, outlook: Outlook) -> None:
    assert awaited(info(one), one).outlook is outlook


@pytest.mark.parametrize(("code", "outlook"), [(0, WELL), (None, WELL), (-15, FAILED)])
def test_a_service_that_runs_once_is_well_when_it_has_completed(code: int | None, outlook: Outlook) -> None:
    one = on_node(ServiceState.STOPPED, code=code)
    assert awaited(info(one, service=ONCE), one).outlook is outlook


class Server:
    """Two nodes, and a service that is at each look as one of `looks` says; the last one holds from then on."""

    def __init__(self, *looks: ServiceWithNodes, online: Sequence[int] = (1, 2)) -> None:
        self._looks = list(looks)
        self._online = online
        self.applied: list[ApplyServices] = []
        self.services = SimpleNamespace(apply=self.apply, get=self.get, list=list)
        self.nodes = SimpleNamespace(list=self.list_nodes)

    def apply(self, request: ApplyServices) -> AppliedServices:
        self.applied.append(request)
        changes = tuple(ServiceChange(name=each.name, change=Change.ADDED, nodes=2) for each in request.services)
        return AppliedServices(changes=changes, dry_run=request.dry_run)

    def get(self, name: str) -> ServiceWithNodes:
        assert name == "web"
        return self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]

    def list_nodes(self) -> list[Node]:
        states = {True: AgentState.ONLINE, False: AgentState.OFFLINE}
        return [Node(gid=1, nid=nid, name=f"n{nid}", agent_id="", state=states[nid in self._online]) for nid in (1, 2)]


@pytest.fixture
def apply(call_qd: CallQd, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    (tmp_path / "shop.toml").write_text('[service.web]\ncommand = ["web"]\n')

    def call(server: Server, *options: str) -> tuple[int, str, str]:
        code = call_qd(server, "service", "apply", str(tmp_path / "shop.toml"), "--all", *options)
        out, err = capsys.readouterr()
        return code, out, err

    return call


RUNNING = ServiceState.RUNNING


def test_apply_returns_at_once_without_the_option(apply: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = apply(Server())
    assert (code, out) == (0, "+ web: added on 2 nodes\n")
    assert "See what they do with `qd service ls`." in err


def test_apply_waits_until_every_node_runs_the_new_version(apply: Callable[..., tuple[int, str, str]]) -> None:
    old = info(on_node(RUNNING, version="old"), on_node(RUNNING, 2, version="old"))
    half = info(on_node(RUNNING), on_node(ServiceState.STARTING, 2))
    code, out, err = apply(Server(old, half, info(on_node(RUNNING), on_node(RUNNING, 2))), "--wait")
    assert code == 0
    assert [line.split() for line in out.splitlines()[1:]] == [
        ["SERVICE", "NODE", "STATE", "SINCE", "REASON"],
        ["web", "n1", "RUNNING"],
        ["web", "n2", "RUNNING"],
    ]
    assert "As applied: 1 service on 2 nodes." in err


def test_apply_ends_with_1_and_the_reason_where_one_failed(apply: Callable[..., tuple[int, str, str]]) -> None:
    server = Server(info(on_node(RUNNING), on_node(ServiceState.BACKOFF, 2, reason="exit code 3")))
    code, out, err = apply(server, "--wait")
    assert code == 1
    assert "exit code 3" in out
    assert "error: Not running as applied: web on n2." in err


def test_apply_ends_with_7_where_the_time_is_over(apply: Callable[..., tuple[int, str, str]]) -> None:
    server = Server(info(on_node(RUNNING), on_node(ServiceState.STARTING, 2, reason="port 80 is closed")))
    code, out, err = apply(server, "--wait", "--timeout", "0s")
    assert code == 7
    assert "port 80 is closed" in out
    assert "still on its way after 0s: web on n2." in err


def test_apply_does_not_wait_for_a_node_that_is_offline(apply: Callable[..., tuple[int, str, str]]) -> None:
    found = info(on_node(RUNNING), on_node(ServiceState.WAITING, 2, version=""))
    code, out, err = apply(Server(found, online=[1]), "--wait")
    assert code == 0
    assert "n2" not in out
    assert "not waited for: web on n2: offline" in err
    assert apply(Server(found, online=[]), "--wait")[0] == 4


def test_for_programs_the_changes_are_printed_and_reasons_are_in_the_error(
    apply: Callable[..., tuple[int, str, str]],
) -> None:
    failing = info(on_node(ServiceState.FAILED, reason="exit code 3"))
    code, out, err = apply(Server(failing), "--wait", "-o", "json")
    assert code == 1
    assert msgspec.json.decode(out, type=AppliedServices).changes[0].name == "web"
    assert "web on n1: FAILED: exit code 3" in err
    assert apply(Server(), "-o", "name")[1] == "web\n"
    assert apply(Server(), "-o", "csv")[1] == "service,change,fields,nodes\nweb,added,,2\n"


def test_a_dry_run_has_nothing_to_wait_for(apply: Callable[..., tuple[int, str, str]]) -> None:
    server = Server()
    code, _, err = apply(server, "--wait", "--dry-run")
    assert code == 2
    assert "--dry-run" in err
    assert not server.applied
