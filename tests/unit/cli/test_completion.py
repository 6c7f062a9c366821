"""The completion scripts, and what `qd __complete` offers: verbs and options, and names from the server."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from quarterdeck.cli import completers, main
from quarterdeck.cli.completion import completion
from quarterdeck.cli.verbs import app
from quarterdeck.model.errors import Unavailable
from quarterdeck.model.nodes import AgentState, Node
from quarterdeck.model.tokens import ApiToken, JoinToken, Role
from tests.support import require


def complete(*words: str, capfd: pytest.CaptureFixture[str]) -> list[str]:
    """Return the candidates for the last word."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        app(["__complete", *words])
    assert not ended.value.code
    return [line for line in capfd.readouterr().out.splitlines() if line and not line.startswith("\x1f")]


def node(name: str, **labels: str) -> Node:
    return Node(gid=1, nid=1, name=name, agent_id="a", state=AgentState.ONLINE, labels=labels)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that knows a few things."""

    def listed(*found: object) -> SimpleNamespace:
        return SimpleNamespace(list=lambda **_: found)

    table = SimpleNamespace(name="execs", description="started\nprograms\x1b")
    client = SimpleNamespace(
        nodes=listed(node("web-1", role="web,db", site="north"), node("web-2", role="web")),
        services=listed(SimpleNamespace(service=SimpleNamespace(name="web"))),
        modules=listed(SimpleNamespace(name="execs")),
        commands=listed(SimpleNamespace(id="4711", cmd="ping")),
        logins=listed(SimpleNamespace(id="b10c", name="ann")),
        schedules=listed(SimpleNamespace(name="nightly")),
        saved_queries=listed(SimpleNamespace(name="slow starts", description="by\nnode")),
        tokens=listed(JoinToken(id="j1", gid=1), JoinToken(id="j2", gid=1, used_at=1.0)),
        api_tokens=listed(ApiToken(id="a1", name="ci", role=Role.VIEWER)),
        tables=listed(SimpleNamespace(table=table)),
    )

    @contextmanager
    def connect(*, timeout_s: float) -> Iterator[SimpleNamespace]:
        assert timeout_s == completers.TIMEOUT_S
        yield client

    monkeypatch.setattr(completers, "connect", connect)


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("node show", ["web-1\tONLINE", "web-2\tONLINE"]),
        ("node rm web-1", ["web-1\tONLINE", "web-2\tONLINE"]),
        ("node label", ["web-1\tONLINE", "web-2\tONLINE"]),
        ("run --node", ["web-1\tONLINE", "web-2\tONLINE"]),
        ("logs --role", ["db", "web"]),
        ("run --on", ["role=db\t1 node", "role=web\t2 nodes", "site=north\t1 node"]),
        ("token rm", ["j1\tunused", "j2\tused"]),
        ("token api rm", ["a1\tci (viewer)"]),
        ("service show", ["web"]),
        ("service logs", ["web"]),
        ("logs --service", ["web"]),
        ("module deploy", ["execs"]),
        ("module stats", ["execs"]),
        ("job show", ["4711\tping"]),
        ("job kill", ["4711\tping"]),
        ("logs --job", ["4711\tping"]),
        ("login rm", ["b10c\tann"]),
        ("job schedule show", ["nightly"]),
        ("job schedule rm", ["nightly"]),
        ("query run", ["slow starts\t" + r"by\nnode"]),
        ("query rm", ["slow starts\t" + r"by\nnode"]),
        ("tail", [r"execs" + "\t" + r"started\nprograms\x1b"]),
    ],
)
def test_names_are_completed(line: str, offered: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert complete(*line.split(), "", capfd=capfd) == offered


def test_words_of_help_are_the_verbs_that_can_follow(capfd: pytest.CaptureFixture[str]) -> None:
    assert "node" in complete("help", "", capfd=capfd)
    assert complete("help", "job", "schedule", "", capfd=capfd)[:2] == ["add", "ls"]


def test_a_server_that_is_away_completes_nothing_in_silence(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("QD_HOME", str(tmp_path))
    monkeypatch.setenv("QD_HTTP", "127.0.0.1:9")
    for token in ("", "any"):
        monkeypatch.setenv("QD_TOKEN", token)
        assert complete("node", "show", "", capfd=capfd) == []
    monkeypatch.setattr(sys, "argv", ["qd", "__complete", "node", "show", ""])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert not ended.value.code
    assert not capfd.readouterr().err
    with pytest.raises(Unavailable):
        completers.nodes(None)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_has_every_verb_and_asks_for_names(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    completion(shell)  # type: ignore[arg-type]
    script = capsys.readouterr().out
    assert "__complete " in script
    for verb in ("deploy", "schedule", "completion", "undeploy", "prune", "watch"):
        assert verb in script, verb
    require(condition=shutil.which(shell) is not None, reason=f"{shell} is not installed")
    subprocess.run([shell, "-n"], input=script, text=True, check=True)
