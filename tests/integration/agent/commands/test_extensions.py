"""Extensions run their program with the node's settings, and are in the registry and under the allow-list."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from quarterdeck.agent.commands.extensions import extension_commands
from quarterdeck.model.extensions import ExtensionConfig
from quarterdeck.model.jobs import JobState
from tests.node_life import Life


@pytest.fixture
async def node(home: Path, tmp_path: Path) -> AsyncGenerator[Life]:
    extensions = {
        "say": ExtensionConfig(
            binary="$root/bin/sh",
            args=("-c", 'printf "%s|" "$@"; pwd; echo $SHIP; cat', "sh", "{first}", "--x={second:2 3}", "$tmp"),
            workingdir=str(tmp_path),
            env={"SHIP": "Vasa"},
            domain="sea",
        ),
        "slow": ExtensionConfig(binary="sleep", args=("{seconds:600}",), max_time=0.2),
        "secret": ExtensionConfig(binary="true"),
        "gone": ExtensionConfig(binary="/no/such/program"),
    }
    life = Life(home)
    commands = extension_commands(extensions, life.processes, life.templates, taken=())
    life.start(commands=commands, allow=("s[al]*", "gone", "execute"))
    yield life
    await life.end()


async def test_the_program_gets_its_arguments_data_folder_and_variables(node: Life, tmp_path: Path) -> None:
    node.server.offer("one", cmd="say", args={"first": "a  b $HOME"}, data="ahoy\n")
    result = await node.server.result("one")
    lines = [f"a  b $HOME|--x=2 3|{tmp_path}/node/tmp|{tmp_path}", "Vasa", "ahoy", ""]
    assert (result.state, result.streams[0]) == (JobState.OK, "\n".join(lines))
    assert {each.domain for each in await node.log("one")} == {"sea"}


async def test_the_nodes_max_time_holds_unless_another_is_asked_for(node: Life) -> None:
    node.server.offer("one", cmd="slow")
    node.server.offer("two", cmd="slow", args={"seconds": 0, "max_time": 0})
    assert (await node.server.result("one")).state is JobState.TIMEOUT
    assert (await node.server.result("two")).state is JobState.OK


async def test_what_is_missing_is_named_and_the_allow_list_holds(node: Life) -> None:
    for id_, cmd in (("one", "say"), ("two", "secret"), ("three", "gone"), ("four", "sya")):
        node.server.offer(id_, cmd=cmd)
    results = {id_: await node.server.result(id_) for id_ in ("one", "two", "three", "four")}
    assert [each.state for each in results.values()] == [
        JobState.ERROR,
        JobState.REFUSED,
        JobState.ERROR,
        JobState.REFUSED,
    ]
    assert "'first'" in results["one"].reason
    assert "There is no program '/no/such/program'" in results["three"].reason


async def test_an_unknown_command_names_those_that_are_near(node: Life) -> None:
    node.server.offer("one", cmd="slwo")
    result = await node.server.result("one")
    assert result.state is JobState.UNKNOWN_CMD
    assert "'slwo'. It has slow" in result.reason
