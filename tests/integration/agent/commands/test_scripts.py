"""Scripts with the real interpreters and the real keeper; the server is a fake that sends scripts by their hash."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import tempfile
import textwrap
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from quarterdeck.agent.artefacts import Artefacts
from quarterdeck.agent.commands.scripts import script_commands
from quarterdeck.agent.commands.standard_input import StandardInputs
from quarterdeck.agent.connection import LiveLink
from quarterdeck.agent.fetches import Fetches
from quarterdeck.agent.scripts.files import SHARED, ScriptFiles
from quarterdeck.link.messages import ArtefactChunk, FromAgent, WantArtefact
from quarterdeck.model.jobs import JobResult, JobState
from quarterdeck.model.messages import Level
from tests.node_life import Life
from tests.support import require, until

PYTHON, LUA, SHELL = "execute_js_py", "execute_js_lua", "execute_sh"
ALL = (PYTHON, LUA, SHELL)


class Node:
    """A node that runs scripts. `asked`: the hashes that it requested from the server."""

    def __init__(self, home: Path, contents: dict[str, bytes], *, shared: Path) -> None:
        home.mkdir(exist_ok=True)
        self.asked: list[str] = []
        self._contents = contents
        self.fetches = Fetches()
        self.life = Life(home)
        artefacts = Artefacts(home / "artefacts", fetches=self.fetches)
        self.files = ScriptFiles(home / "scripts", fetch=artefacts.path, shared=shared)
        inputs = StandardInputs(self.life.processes, home / "inputs", fetch=self.fetches.file)
        self.life.start(commands=script_commands(self.life.processes, self.files, inputs))

    async def send(self, message: FromAgent) -> None:
        assert isinstance(message, WantArtefact)
        self.asked.append(message.sha256)
        content = self._contents.get(message.sha256)
        size = -1 if content is None else len(content)
        data = b"" if content is None else content[message.offset :]
        self.fetches.received(ArtefactChunk(sha256=message.sha256, offset=message.offset, size=size, data=data))

    def offer(self, id_: str, cmd: str, source: str, *args: str, data: str = "", **settings: Any) -> str:
        """Offer a script from the server; return its hash."""
        body = textwrap.dedent(source).encode()
        sha256 = hashlib.sha256(body).hexdigest()
        self._contents[sha256] = body
        self.life.server.offer(id_, cmd=cmd, data=data, args={"sha256": sha256, "args": list(args), **settings})
        return sha256

    async def run(self, cmd: str, source: str, *args: str, id_: str = "one", **more: Any) -> JobResult:
        self.offer(id_, cmd, source, *args, **more)
        return await self.life.server.result(id_)

    async def said(self, id_: str, level: int) -> None:
        """Wait until a job has a message of this level."""
        async with asyncio.timeout(30):
            while not await self.life.log(id_, levels=level):  # noqa: ASYNC110 (the log tells nobody)
                await asyncio.sleep(0.02)


@asynccontextmanager
async def alive(
    home: Path, *, linked: bool = True, contents: dict[str, bytes] | None = None, shared: Path = SHARED
) -> AsyncGenerator[Node]:
    node = Node(home, {} if contents is None else contents, shared=shared)
    link = asyncio.create_task(node.fetches.run(cast("LiveLink", node))) if linked else None
    try:
        yield node
    finally:
        if link is not None:
            link.cancel()
            await asyncio.gather(link, return_exceptions=True)
        await node.life.end()


@pytest.fixture
async def node(home: Path) -> AsyncGenerator[Node]:
    async with alive(home) as node:
        yield node


# ── what a script is given, and what it gives ────────────────────────────────────────────────────────────────────────
ECHO = {
    PYTHON: """
        import json, sys
        print(json.dumps([sys.argv[1:], sys.stdin.read()], ensure_ascii=False))
        print("20::" + json.dumps({"from": "python"}))
        """,
    LUA: r"""
        local words = {}
        for i = 1, #arg do words[i] = '"' .. arg[i] .. '"' end
        print('[[' .. table.concat(words, ", ") .. '], "' .. io.read("a") .. '"]')
        print('20::{"from": "lua"}')
        """,
    SHELL: """
        printf '[["%s", "%s"], "%s"]\\n' "$1" "$2" "$(cat)"
        echo '20::{"from": "sh"}'
        """,
}


@pytest.mark.parametrize("cmd", ALL)
async def test_arguments_data_and_result_pass_whatever_characters_they_have(node: Node, cmd: str) -> None:
    result = await node.run(cmd, ECHO[cmd], "a  b; $HOME *", "⚓ é", data="über 人")
    assert (result.state, result.code, result.reason) == (JobState.OK, 0, "")
    assert json.loads(result.streams[0].splitlines()[0]) == [["a  b; $HOME *", "⚓ é"], "über 人"]
    assert json.loads(result.data)["from"] in cmd.replace("_js_py", "python")
    assert result.level == Level.RESULT_JSON


@pytest.mark.parametrize(
    ("cmd", "source", "words"),
    [
        (PYTHON, "def f():\n    raise ValueError('boom')\nf()", ["Traceback", "line 3", "in f", "ValueError: boom"]),
        (PYTHON, "x = = 2", ["SyntaxError"]),
        (LUA, "local function f() error('boom') end\nf()", ["lua: wave:1: boom", "stack traceback", "main chunk"]),
        (LUA, "x = = 2", ["lua: wave:1: unexpected symbol"]),
        (LUA, "error({})", ["lua: (error object is a table value)"]),
        (LUA, "error(setmetatable({}, {__tostring = function() return 'mine' end}))", ["lua: mine"]),
        pytest.param(LUA, "\x1bLua", ["lua: attempt to load a binary chunk"], id="bytecode"),
    ],
)
async def test_a_script_that_fails_is_an_error_with_its_traceback(
    node: Node, cmd: str, source: str, words: list[str]
) -> None:
    result = await node.run(cmd, source, name="wave")
    assert (result.state, result.code, result.reason) == (JobState.ERROR, 1, "exit code 1")
    for word in words:
        assert word in result.streams[1]


@pytest.mark.parametrize(
    ("cmd", "source"),
    [
        (PYTHON, "import sys; print('said', end=''); sys.exit(7)"),
        (LUA, "io.write('said') os.exit(7)"),
        (LUA, "\ufeff#!/usr/bin/env lua\nio.write('said') os.exit(7)"),
        (LUA, "io.write('said') os.exit(7, true)"),
        (SHELL, "printf said; exit 7"),
    ],
)
async def test_its_exit_code_is_the_results_and_nothing_it_said_before_is_lost(
    node: Node, cmd: str, source: str
) -> None:
    result = await node.run(cmd, source)
    assert (result.state, result.code, result.streams[0]) == (JobState.ERROR, 7, "said")


async def test_lua_is_plain_lua_with_its_library(node: Node) -> None:
    result = await node.run(
        LUA,
        r"""#!/usr/bin/env lua
        assert(python == nil and _VERSION == "Lua 5.4")
        assert(arg[0]:match("/%x+$") and #arg == 1 and select("#", ...) == 1 and ... == "x")
        assert(("\xff\0"):len() == 2 and utf8.char(9875) == "⚓")
        assert(os.execute("exit 3") == nil)
        assert(os.tmpname() and io.tmpfile():write("x"))
        assert(coroutine.wrap(function() coroutine.yield(5) end)() == 5)
        assert(not pcall(require, "nothing"))
        io.stderr:write("\xfe", os.getenv("QD_JOB_ID"), "\n")
        """,
        "x",
    )
    assert result.streams[1] == "\N{REPLACEMENT CHARACTER}one\n"
    assert result.state is JobState.OK


async def test_lua_opens_programs(node: Node, tmp_path: Path) -> None:
    result = await node.run(
        LUA,
        r"""
        local echo = io.popen("echo hi; echo '⚓'; exit 3")
        assert(io.type(echo) == "file" and echo:read("l") == "hi" and echo:read("a") == "⚓\n")
        local fine, how, code = echo:close()
        assert(fine == nil and how == "exit" and code == 3)
        local killed = io.popen("kill -9 $$")
        print(select(2, io.close(killed)))
        local into = io.popen("cat >" .. arg[1], "w")
        into:write("written")
        assert(into:close() == true)
        for line in io.popen("seq 3"):lines() do io.write(line, " ") end
        assert(not pcall(io.popen, "true", "x"))
        io.stdout:write("end\n")
        """,
        str(tmp_path / "out"),
    )
    assert (result.state, result.streams) == (JobState.OK, ("signal\t9\n1 2 3 end\n", ""))
    assert (tmp_path / "out").read_text() == "written"


async def test_python_is_isolated_and_has_its_library(node: Node, tmp_path: Path) -> None:
    (tmp_path / "stray.py").write_text("")
    result = await node.run(
        PYTHON,
        """
        import sys, sqlite3, ctypes, asyncio
        assert sys.flags.isolated and sys.flags.utf8_mode and __name__ == "__main__"
        try:
            import stray
        except ImportError:
            print("alone")
        """,
        env={"PYTHONPATH": str(tmp_path)},
        workingdir=str(tmp_path),
    )
    assert (result.streams, result.state) == (("alone\n", ""), JobState.OK)


SPEAK = {
    PYTHON: """
        from quarterdeck import script
        passed = script.data()
        script.message(7, "low")
        script.message(3, "one\\n:::\\ntwo")
        script.message(3, "\\n:::\\n")
        script.stat("waves:3|c")
        script.result({"got": passed, "list": [1, "⚓", True, {}]})
        """,
    LUA: """
        local quarterdeck = require "quarterdeck"
        local passed = quarterdeck.data()
        quarterdeck.message(7, "low")
        quarterdeck.message(3, "one\\n:::\\ntwo")
        quarterdeck.message(3, "\\n:::\\n")
        quarterdeck.stat("waves:3|c")
        quarterdeck.result({got = passed, list = {1, "⚓", true, {x = {}}}})
        """,
}


@pytest.mark.parametrize("cmd", [PYTHON, LUA])
async def test_the_helper_reads_data_and_says_messages_stats_and_a_result(node: Node, cmd: str) -> None:
    passed = {"name": "é", "depth": [1, 2.5, {"a": "b"}], "on": True}
    result = await node.run(cmd, SPEAK[cmd], data=json.dumps(passed), domain="sea", name="wave")
    assert result.state is JobState.OK, result.streams[1]
    last: dict[str, list[int]] = {} if cmd == PYTHON else {"x": []}  # an empty table of Lua is a list
    assert json.loads(result.data) == {"got": passed, "list": [1, "⚓", True, last]}
    found = {(each.level, each.data, each.domain, each.name) for each in await node.life.log("one")}
    assert (7, "low", "sea", "wave") in found
    assert (3, "one\n :::\ntwo", "sea", "wave") in found
    assert (3, "\n :::", "sea", "wave") in found
    await until(lambda: ("sea", b"waves:3|c") in [(source.domain, lines) for source, lines in node.life.fed])


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("require('quarterdeck').result({f = print})", "a function cannot be written as JSON"),
        ("local t = {} t.t = t require('quarterdeck').result(t)", "within itself"),
        ("require('quarterdeck').result({[true] = 1})", "neither text nor a number"),
        ("require('quarterdeck').data()", "Expecting"),
    ],
)
async def test_luas_helper_says_what_cannot_be(node: Node, source: str, words: str) -> None:
    result = await node.run(LUA, source, data="no json")
    assert result.state is JobState.ERROR
    assert words in result.streams[1]


@pytest.mark.parametrize(
    ("cmd", "source"),
    [
        (PYTHON, "for i in range(20000): print(f'{i:060}')\nprint('20::\"' + 'x' * 3000000 + '\"')"),
        (LUA, "for i = 0, 19999 do print(string.format('%060d', i)) end print('20::\"' .. ('x'):rep(3000000) .. '\"')"),
    ],
)
async def test_much_output_and_a_large_result_come_whole(node: Node, cmd: str, source: str) -> None:
    result = await node.run(cmd, source, loglevels_db="1")
    assert result.state is JobState.OK
    assert len(result.data) == 3_000_002
    assert [int(each.data) for each in await node.life.log("one", levels=1)] == list(range(20000))


@pytest.mark.parametrize(
    ("cmd", "source"),
    [
        (PYTHON, "print('7::early'); import time; time.sleep(600)"),
        (LUA, "print('7::early') while true do end"),
        (SHELL, "echo 7::early; sleep 600"),
    ],
)
async def test_messages_come_while_it_runs_and_a_kill_ends_it(node: Node, cmd: str, source: str) -> None:
    node.offer("one", cmd, source)
    await node.said("one", 7)
    node.life.server.kill("one")
    result = await node.life.server.result("one")
    assert (result.state, result.code) == (JobState.KILLED, -15)


# ── the rules of processes ───────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("cmd", "source"),
    [(PYTHON, "while True: pass"), (LUA, "while true do end"), (SHELL, "while :; do sleep 1; done")],
)
async def test_max_time_ends_a_script(node: Node, cmd: str, source: str) -> None:
    result = await node.run(cmd, source, max_time=0.5)
    assert (result.state, result.reason) == (JobState.TIMEOUT, "It ran longer than its max_time of 0.5 s.")


@pytest.mark.parametrize("cmd", ALL)
async def test_max_restart_starts_it_again_and_then_says_so(node: Node, tmp_path: Path, cmd: str) -> None:
    tries = tmp_path / "tries"
    source = {
        PYTHON: f"open({str(tries)!r}, 'a').write('x'); raise SystemExit(3)",
        LUA: f"io.open('{tries}', 'a'):write('x'):close() os.exit(3)",
        SHELL: f"printf x >>{tries}; exit 3",
    }[cmd]
    result = await node.run(cmd, source, max_restart=2)
    assert (result.state, result.code, tries.read_text()) == (JobState.ERROR, 3, "xxx")
    assert "3 times" in result.critical


async def test_what_recurs_runs_again_until_it_is_killed(node: Node, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    node.offer("one", SHELL, f"printf x >>{runs}", recurring_period=0.05)
    await until(lambda: runs.exists() and len(runs.read_text()) >= 3)
    node.life.server.kill("one")
    assert (await node.life.server.result("one")).state is JobState.KILLED


async def test_folder_variables_levels_and_limits_are_those_of_every_process(node: Node, tmp_path: Path) -> None:
    result = await node.run(
        SHELL,
        'pwd; echo "$SHIP"; echo 11::hidden; echo 7::kept; ulimit -u >/dev/null; echo "$QD_GID.$QD_NID"',
        workingdir=str(tmp_path),
        env={"SHIP": "Vasa"},
        loglevels="7",
    )
    assert result.streams[0].splitlines()[:2] == [str(tmp_path), "Vasa"]
    assert result.streams[0].splitlines()[-1] == "7.3"
    assert [each.data for each in await node.life.log("one")] == ["kept"]


@pytest.fixture
def free() -> Generator[Path]:
    """Return a folder that every user can access; those of pytest are private."""
    folder = Path(tempfile.mkdtemp(prefix="quarterdeck-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


async def test_a_script_of_another_user_can_be_read_by_that_user_alone(home: Path, free: Path) -> None:
    require(os.geteuid() == 0, "only root starts programs as another user")
    source = 'id -un; stat -c "%U %a" "$0"; stat -c "%U %a" "${0%/*}"; cat "$0" >/dev/null; echo $?'
    async with alive(home, shared=free / "run") as node:
        result = await node.run(SHELL, source, user="nobody")
    assert result.streams == ("nobody\nnobody 400\nroot 711\n0\n", "")
    left = await asyncio.to_thread(lambda: [path for path in free.rglob("*") if path.is_file()])
    assert left == [], "it goes with its job"


async def test_a_user_that_is_not_there_is_named(node: Node) -> None:
    result = await node.run(SHELL, "true", user="nobody-of-this-name")
    assert result.state is JobState.ERROR
    assert "nobody-of-this-name" in result.reason


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"script": "true"}, "sha256"),
        ({}, "sha256"),
        ({"sha256": "../../etc/passwd"}, "64 hexadecimal"),
        ({"sha256": "0" * 64, "speed": 3}, "found 'speed'"),
        ({"sha256": "0" * 64, "args": "x"}, "args"),
        ({"sha256": "0" * 64, "max_time": -3}, "max_time"),
        ({"sha256": "0" * 64}, "The server has no"),
    ],
)
async def test_what_cannot_be_run_is_an_error_in_words(node: Node, args: dict[str, Any], words: str) -> None:
    node.life.server.offer("one", cmd=PYTHON, args=args)
    result = await node.life.server.result("one")
    assert result.state is JobState.ERROR
    assert words in result.reason


# ── the cache, and lives of the agent ────────────────────────────────────────────────────────────────────────────────
async def test_a_script_is_fetched_once_and_again_when_it_is_damaged(node: Node, home: Path) -> None:
    for id_ in ("one", "two"):
        assert (await node.run(SHELL, "echo $1", id_, id_=id_)).streams[0] == f"{id_}\n"
    assert len(node.asked) == 1
    assert not list((home / "scripts").iterdir())
    (cached,) = (home / "artefacts").iterdir()
    cached.write_text("echo pirates")
    assert (await node.run(SHELL, "echo $1", "three", id_="three")).streams[0] == "three\n"
    assert len(node.asked) == 2


async def test_a_script_outlives_its_agent_and_starts_again_without_server_and_cache(home: Path) -> None:
    contents: dict[str, bytes] = {}
    source = "echo 7::began; sleep 600"
    async with alive(home, contents=contents) as node:
        node.offer("one", SHELL, source, max_time=-1)
        await until(lambda: (kept := node.life.processes.get("one")) is not None and kept.pid is not None)
        first = node.life.processes.running()[0].pid
    for cached in (home / "artefacts").iterdir():
        cached.unlink()
    async with alive(home, contents=contents, linked=False) as node:
        await until(lambda: [kept.pid for kept in node.life.processes.running()] == [first])
        node.life.processes.killall()
        await until(lambda: [kept.pid for kept in node.life.processes.running()] not in ([], [first]))
        node.life.server.kill("one")
        assert (await node.life.server.result("one")).state is JobState.KILLED
    assert not list((home / "scripts").iterdir())


async def test_a_job_that_waits_for_its_script_can_be_killed_and_leaves_nothing(home: Path) -> None:
    async with alive(home, linked=False) as node:
        node.offer("one", SHELL, "true")
        await until(lambda: node.life.server.started == ["one"])
        node.life.server.kill("one")
        assert (await node.life.server.result("one")).state is JobState.KILLED
        assert not (home / "scripts").exists()
