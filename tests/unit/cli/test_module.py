"""`qd module`: verbs that wait for the nodes, and what they print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from quarterdeck.model.errors import Conflict
from quarterdeck.model.modules import Instance, InstanceState, InstanceStatus, Module, ModuleState
from quarterdeck.model.nodes import AgentState, Node
from tests.services import make_build
from tests.unit.cli.conftest import CallQd

RUNS, STARTS, FAILED = InstanceState.SUCCEEDED, InstanceState.IN_PROGRESS, InstanceState.FAILED
MODULE = Module(id="m1", name="execs", build=make_build("execs").build, desire_state=ModuleState.DEPLOYED)


def instance(nid: int, state: InstanceState, reason: str = "", *, wanted: bool = True) -> Instance:
    return Instance(
        id=f"i{nid}",
        module_id="m1",
        module_name="execs",
        gid=1,
        nid=nid,
        node_name=f"n{nid}",
        agent_id="",
        desire_state=ModuleState.DEPLOYED if wanted else ModuleState.UNDEPLOYED,
        status=InstanceStatus(instance_id=f"i{nid}", state=state, revision=1, reason=reason),
    )


class Server:
    """Two nodes; the instances are at each look as one of `looks` says, and the last one holds from then on."""

    def __init__(self, *looks: Sequence[Instance], state: ModuleState = ModuleState.DEPLOYED) -> None:
        self._looks = list(looks)
        self.asked: list[str] = []
        self.module = replace(MODULE, desire_state=state)
        self.modules = SimpleNamespace(
            create=self._done("create"),
            deploy=self._done("deploy"),
            undeploy=self._done("undeploy"),
            list=lambda: [self.module],
        )
        self.instances = SimpleNamespace(list=self.list_instances)
        self.nodes = SimpleNamespace(list=self.list_nodes)

    def _done(self, verb: str) -> Any:
        def act(name: object, *_: object, **__: object) -> Module:
            self.asked.append(verb)
            if name == "gone":
                raise Conflict("It is not deployed.")
            return self.module

        return act

    def list_instances(self, _: str | None = None) -> Sequence[Instance]:
        return self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]

    def list_nodes(self) -> list[Node]:
        return [Node(gid=1, nid=nid, name=f"n{nid}", agent_id="", state=AgentState.ONLINE) for nid in (1, 2)]


@pytest.fixture
def folder(tmp_path: Path) -> str:
    (tmp_path / "module.toml").write_text('name = "execs"\n')
    return str(tmp_path)


DEPLOY = ("module", "deploy", "execs", "--all")


def test_deploy_returns_at_once_without_the_option(call_qd: CallQd, capsys: pytest.CaptureFixture[str]) -> None:
    assert call_qd(Server(), *DEPLOY) == 0
    assert capsys.readouterr().out == "execs is being deployed. See `qd module instances execs`.\n"


def test_deploy_waits_until_it_runs_on_every_node(call_qd: CallQd, capsys: pytest.CaptureFixture[str]) -> None:
    server = Server([instance(1, STARTS), instance(2, RUNS)], [instance(1, RUNS), instance(2, RUNS)])
    assert call_qd(server, *DEPLOY, "--wait") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[1:3]] == [["execs", "n1", "SUCCEEDED"], ["execs", "n2", "SUCCEEDED"]]
    assert lines[3] == "execs runs on 2 nodes, filling: execs"


@pytest.mark.parametrize(
    ("state", "options", "code", "error"),
    [
        (FAILED, (), 1, "execs runs on 1 of 2 nodes, not on n2."),
        (STARTS, ("--timeout", "0s"), 7, "execs is still on its way after 0s: n2."),
    ],
)
@pytest.mark.parametrize("for_programs", [False, True])
def test_deploy_names_the_nodes_on_which_it_does_not_run_and_why(
    state: InstanceState,
    options: tuple[str, ...],
    code: int,
    error: str,
    *,
    for_programs: bool,
    call_qd: CallQd,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = Server([instance(1, RUNS), instance(2, state, "No BTF.")])
    assert call_qd(server, *DEPLOY, "--wait", *options, *(["--json"] if for_programs else [])) == code
    out, err = capsys.readouterr()
    assert error in err
    assert "No BTF." in (err if for_programs else out)
    if for_programs:
        assert msgspec.json.decode(out, type=Module) == server.module


@pytest.mark.parametrize(("given", "printed"), [("name", "execs\n"), ("csv", "execs,DEPLOYED,1/2,execs,")])
def test_deploy_prints_the_module_for_programs(
    given: str, printed: str, call_qd: CallQd, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call_qd(Server([instance(1, RUNS), instance(2, STARTS)]), *DEPLOY, "-o", given) == 0
    assert printed in capsys.readouterr().out


def test_a_new_version_is_waited_for_where_the_old_one_is_deployed(
    folder: str, call_qd: CallQd, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server([instance(1, STARTS)], [instance(1, FAILED, "No BTF.")])
    assert call_qd(server, "module", "create", folder, "--replace", "--wait") == 1
    assert "execs runs on 0 of 1 nodes, not on n1." in capsys.readouterr().err


def test_a_new_module_runs_nowhere_and_is_not_waited_for(
    folder: str, call_qd: CallQd, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server(state=ModuleState.CREATED)
    assert call_qd(server, "module", "create", folder, "--wait") == 0
    assert "Next: qd module deploy execs --wait" in capsys.readouterr().out
    assert call_qd(server, "module", "create", folder, "-o", "name") == 0
    assert capsys.readouterr().out == "execs\n"


def test_undeploy_waits_until_all_have_ended(call_qd: CallQd, capsys: pytest.CaptureFixture[str]) -> None:
    left = [instance(1, RUNS, wanted=False)]
    assert call_qd(Server(left, left, []), "module", "undeploy", "execs", "--wait") == 0
    assert call_qd(Server(left), "module", "undeploy", "execs", "--wait", "--timeout", "0s") == 7
    out, err = capsys.readouterr()
    assert out == "execs is undeployed.\n" * 2
    assert "execs on n1: SUCCEEDED" in err


def test_undeploy_tries_all_and_ends_with_the_first_error(call_qd: CallQd) -> None:
    server = Server([])
    assert call_qd(server, "module", "undeploy", "gone", "execs", "--wait") == Conflict.exit_code
    assert server.asked == ["undeploy", "undeploy"]
