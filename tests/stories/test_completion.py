"""Completion in the shells that have a script: each completes a line as its user types it, against a real server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet import Fleet
from tests.shells import SHELLS, Shell, open_shell


@pytest.fixture(scope="module", autouse=True)
def _nodes(fleet: Fleet) -> None:
    fleet.join("one", labels={"role": "web,db", "site": "north"})
    fleet.join("two", labels={"role": "web"})


@pytest.fixture(scope="module")
def environment(fleet: Fleet) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**fleet.server.environment, "QD_HTTP": fleet.http, "PATH": path}


def qd(environment: dict[str, str], *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "quarterdeck.cli.main", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout


@pytest.fixture(scope="module", params=sorted(SHELLS))
def shell(
    request: pytest.FixtureRequest, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shell]:
    script = qd(environment, "completion", request.param.partition(",")[0])
    folder = tmp_path_factory.mktemp(request.param)
    with open_shell(request.param, folder, environment=environment, script=script) as opened:
        yield opened


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("qd ver", ["version"]),
        ("qd node la", ["label"]),
        ("qd node ls --wa", ["--watch"]),
        ("qd completion ", ["bash", "fish", "zsh"]),
        ("qd node show ", ["one", "two"]),
        ("qd run --node ", ["one", "two"]),
        ("qd run --role d", ["db"]),
        ("qd tail mess", ["messages"]),
    ],
)
def test_verbs_options_and_names(shell: Shell, line: str, offered: list[str]) -> None:
    assert shell.complete(line).offered == offered


@pytest.mark.parametrize(
    ("line", "labels"),
    [
        ("qd run --on ", ["role=db", "role=web", "site=north"]),
        ("qd run --on ro", ["role=db", "role=web"]),
        ("qd run --on role=", ["role=db", "role=web"]),
        ("qd run --on role=w", ["role=web"]),
        ("qd run --on site=north --on role=d", ["role=db"]),
        ("qd node ls --on s", ["site=north"]),
    ],
)
def test_labels_are_completed_as_one_word(shell: Shell, line: str, labels: list[str]) -> None:
    completed = shell.complete(line)
    begun = line.rpartition(" ")[2].rpartition("=")[0]
    behind = {f"{begun}=".join(each.split(f"{begun}=")[1:]) for each in labels} if begun else set(labels)
    assert set(completed.offered) in ({*labels}, behind), "bash offers what comes after the last ="
    if completed.line and len(labels) == 1:
        assert completed.line.rstrip() == f"{line[: line.rindex(' ')]} {labels[0]}"


def test_ids_of_tokens(shell: Shell, environment: dict[str, str]) -> None:
    join, api = (set(qd(environment, *noun, "ls", "-o", "name").split()) for noun in (("token",), ("token", "api")))
    assert join != api
    assert set(shell.complete("qd token rm ").offered) == join
    assert set(shell.complete("qd token api rm ").offered) == api
