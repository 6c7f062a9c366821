"""Foreign text never controls a terminal, and is never read as markup; a pipe gets it unchanged."""

from __future__ import annotations

import ast
import io
import logging
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck import cli
from quarterdeck.cli import logs, node, output, processes, query, table
from quarterdeck.cli.formats import Format, ListOptions, OutputOptions, StreamOptions
from quarterdeck.cli.lines import NodeLines
from quarterdeck.cli.progress import Progress
from quarterdeck.cli.query import AnswerOptions, Output
from quarterdeck.cli.terminal import ProgramOutput, plain, plain_json
from quarterdeck.model.errors import BadInput
from quarterdeck.model.messages import FoundMessages, Mark, Message, NodeMessage
from quarterdeck.model.nodes import AgentState, Node
from quarterdeck.model.queries import Answer, AnswerColumn, Completeness, TailRows

#: sets a title, clears the screen, queries the terminal, writes to the clipboard, reverses the text
EVIL = "\x1b]0;title\x07\x1b[2J\x1b[6n\x9b31m\x1b]52;c;ZXZpbA==\x1b\\ \u202er\u2069 \x7f[red]no[/] [[probe]] :fire:"
STEERING = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
#: our own sequences: colours, and on standard error the progress line
OURS = re.compile(r"\x1b\[[0-9;]*m|\r\x1b\[2K")


class Screen(io.TextIOWrapper):
    """A terminal that records what it is sent."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    def isatty(self) -> bool:
        return True

    @property
    def text(self) -> str:
        self.flush()
        written = self.buffer
        assert isinstance(written, io.BytesIO)
        return written.getvalue().decode()


@contextmanager
def screens() -> Iterator[tuple[Screen, Screen]]:
    """Standard output and standard error are terminals."""
    with redirect_stdout(Screen()) as out, redirect_stderr(Screen()) as err:
        yield out, err


class FakeClient:
    """A server whose nodes have hostile names and print hostile text."""

    def __init__(self) -> None:
        self.nodes = SimpleNamespace(list=self.list_nodes, get=self.show_node)
        self.queries = SimpleNamespace(run=self.query, export=self.query_bytes)
        self.tables = SimpleNamespace(tail=self.tail)
        self.messages = SimpleNamespace(list=self.list_messages)

    def list_nodes(self, _: object) -> list[Node]:
        return [Node(gid=1, nid=1, name=EVIL, agent_id="a", state=AgentState.ONLINE, labels={EVIL: EVIL})]

    def show_node(self, _: object) -> Node:
        return self.list_nodes(None)[0]

    def query(self, *_: object, **__: object) -> Answer:
        columns = (AnswerColumn(name=EVIL, type="String"),)
        lost = Completeness(complete=False, offline_nodes=(EVIL,))
        return Answer(columns=columns, rows=[[EVIL]], elapsed_s=0.0, rows_read=1, completeness=lost)

    def query_bytes(self, *_: object, **__: object) -> bytes:
        return EVIL.encode() + b"\xff\n"

    def tail(self, *_: object, **__: object) -> Iterator[TailRows]:
        yield TailRows(columns=(AnswerColumn(name=EVIL, type="String"),), rows=[[EVIL + "\nforged"]], cursor="")

    def list_messages(self, *_: object, **__: object) -> FoundMessages:
        message = NodeMessage(id=1, job_id="c", epoch=0, level=1, data=EVIL + "\rforged", node=EVIL, gid=1, nid=1)
        return FoundMessages(messages=(message,), problems=(EVIL,))


@pytest.fixture(autouse=True)
def client(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def connect() -> Iterator[FakeClient]:
        yield FakeClient()

    for verbs in (node, query, table, logs):
        monkeypatch.setattr(verbs, "connect", connect)


def failing() -> None:
    output.print_error(BadInput(EVIL, hint=EVIL, lines=(EVIL,)))


def progress() -> None:
    Progress().show(EVIL)


def logged() -> None:
    record = logging.makeLogRecord({"msg": EVIL})
    handler = logging.StreamHandler()
    handler.setFormatter(processes.LineFormatter("%(message)s"))
    handler.emit(record)


def printed() -> None:
    lines = NodeLines([EVIL, "b"], prefix=True)
    lines.print(EVIL, [Message(id=1, job_id="c", epoch=0, level=1, data="\ufffd", raw=EVIL.encode() + b"\x9b2J")])
    lines.finish()


VERBS: dict[str, Callable[[], Any]] = {
    "ls": node.ls,
    "ls --json": lambda: node.ls(how=ListOptions(json=True)),
    "ls -o yaml": lambda: node.ls(how=ListOptions(output=Format.YAML)),
    "ls -o csv": lambda: node.ls(how=ListOptions(output=Format.CSV)),
    "ls -o name": lambda: node.ls(how=ListOptions(output=Format.NAME)),
    "show -o csv": lambda: node.show("a", how=OutputOptions(output=Format.CSV)),
    "show": lambda: node.show("a"),
    "query": lambda: query.ask("SELECT 1"),
    "query -o csv": lambda: query.ask("SELECT 1", how=AnswerOptions(output=Output.CSV)),
    "query -o json": lambda: query.ask("SELECT 1", how=AnswerOptions(output=Output.JSON)),
    "tail": lambda: table.tail("execs"),
    "tail --json": lambda: table.tail("execs", how=StreamOptions(json=True)),
    "logs": logs.logs,
    "logs --json": lambda: logs.logs(how=StreamOptions(json=True)),
    "an error": failing,
    "a progress line": progress,
    "a log line": logged,
    "a program's output": printed,
}


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS.keys())
def test_nothing_foreign_steers_a_terminal(monkeypatch: pytest.MonkeyPatch, verb: Callable[[], Any]) -> None:
    monkeypatch.setenv("COLUMNS", "500")
    with screens() as shown:
        verb()
    both = "".join(screen.text for screen in shown)
    assert not STEERING.findall(OURS.sub("", both)), both
    assert "[red]no[/] [[probe]] :fire:" in both, "it is no markup of ours"
    assert "title" in both
    assert "\nforged" not in both


@pytest.mark.parametrize("verb", ["tail", "logs", "query -o csv", "a program's output"])
def test_a_pipe_gets_every_byte(verb: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    VERBS[verb]()
    sys.stdout.flush()
    assert EVIL.encode() in capfdbinary.readouterr().out


def test_json_on_a_terminal_means_the_same() -> None:
    shown = plain_json(msgspec.json.encode([EVIL]).decode())
    assert not STEERING.search(shown)
    assert msgspec.json.decode(shown) == [EVIL]


def test_bytes_of_arguments_that_are_no_text_are_shown_as_such() -> None:
    assert plain("a\udcffb\ud800\x1b\r\tc\n") == "a\\xffb\\ud800\\x1b\\r\tc\n"
    assert plain("a\nb", one_line=True) == "a\\nb"


@given(st.text())
def test_what_is_shown_can_always_be_written_and_harmless_text_is_untouched(text: str) -> None:
    shown = plain(text)
    assert not STEERING.search(shown)
    shown.encode()
    if text.isprintable():
        assert shown == text


# ── the output of programs ───────────────────────────────────────────────────────────────────────────────────────────
def test_a_program_keeps_its_colours_and_its_progress_line() -> None:
    shown = ProgramOutput(rewrites=True)
    coloured = b"\x1b[1;31mred\x1b[0m \x1b[38;5;9mx\x1b[m 10%\r\x1b[K20%\ttab"
    assert shown.piece(coloured, begin=b"", ends=True) == coloured
    assert shown.end() == b""


def test_behind_a_prefix_a_returned_line_begins_with_it_and_no_colour_goes_on() -> None:
    shown = ProgramOutput(rewrites=True)
    assert shown.piece(b"10%\r20%", begin=b"a | ", ends=True) == b"10%\ra | 20%"
    assert shown.piece(b"\x1b[31mred", begin=b"a | ", ends=True) == b"\x1b[31mred\x1b[0m"


def test_a_colour_that_goes_on_ends_with_the_output() -> None:
    shown = ProgramOutput(rewrites=True)
    assert shown.piece(b"\x1b[31mred", begin=b"", ends=True) == b"\x1b[31mred"
    assert (shown.end(), shown.end()) == (b"\x1b[0m", b"")


def test_in_logs_nothing_is_printed_over() -> None:
    assert ProgramOutput(rewrites=False).piece(b"evil\rgood", begin=b"", ends=True) == b"evil\\rgood"


@given(st.binary(), st.lists(st.integers(0, 40)), st.booleans())
def test_however_it_is_cut_nothing_else_gets_through_and_the_cut_is_not_seen(
    data: bytes, cuts: list[int], rewrites: bool
) -> None:
    data = data.replace(b"\xfe", b"\x1b[31m").replace(b"\xfd", "\x9b".encode()) + b"\x1b]0;t\x07"
    whole = ProgramOutput(rewrites=rewrites).piece(data, begin=b"", ends=True)
    left = re.sub(rb"\x1b\[[0-9;:]*m|\x1b\[[0-2]?K" + (rb"|\r" if rewrites else b""), b"", whole).decode()
    assert not STEERING.search(left)
    pieces, shown, at = b"", ProgramOutput(rewrites=rewrites), 0
    for cut in sorted(cuts):
        pieces += shown.piece(data[at : max(at, cut)], begin=b"", ends=False)
        at = max(at, cut)
    assert pieces + shown.piece(data[at:], begin=b"", ends=True) == whole


def test_a_character_in_two_messages_is_one() -> None:
    first, second = "ä".encode()[:1], "ä".encode()[1:]
    with screens() as (out, _):
        lines = NodeLines(["a"], prefix=False)
        for raw, marks in ((first, Mark.CONTINUES), (second, Mark(0))):
            lines.print("a", [Message(id=1, job_id="c", epoch=0, level=1, data="\ufffd", raw=raw, marks=marks)])
    assert out.text == "ä\n"


# ── colours ──────────────────────────────────────────────────────────────────────────────────────────────────────────
STYLED = """
import sys
from quarterdeck.cli import logs, main, output
from quarterdeck.cli.lines import NodeLines
from quarterdeck.cli.progress import Progress
from quarterdeck.model.errors import BadInput
from quarterdeck.model.messages import Message, NodeMessage

output.print_error(BadInput("wrong", hint="right"))
output.console.print(f"[bold]node[/] {output.cell('ONLINE')}", soft_wrap=True)
sys.stdout.flush()
Progress().show("1 of 2")
lines = NodeLines(["a", "b"], prefix=True)
lines.print("a", [Message(id=1, job_id="c", epoch=0, level=1, data="text")])
lines.finish()
printer = logs.Printer(times=False, json=False)
printer.print([NodeMessage(id=1, job_id="c", epoch=0, level=5, data="warned", node="a", gid=1, nid=1)])
sys.argv = ["qd", "--help"]
main.main()
"""


def written(*, terminal: bool, **environment: str) -> str:
    """Return what the verbs write on both streams, to a terminal or a pipe."""
    shown, end = pty.openpty() if terminal else os.pipe()
    inherited = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    with subprocess.Popen(
        [sys.executable, "-c", STYLED], env={**inherited, "TERM": "xterm", **environment}, stdout=end, stderr=end
    ) as process:
        os.close(end)
        pieces: list[bytes] = []
        with suppress(OSError):  # a terminal whose other end is closed
            while piece := os.read(shown, 65536):
                pieces.append(piece)
        os.close(shown)
    assert process.returncode == 0
    return b"".join(pieces).decode()


def test_styles_are_for_a_terminal_and_no_color_leaves_none() -> None:
    assert "\x1b[1;31merror:" in written(terminal=True)
    assert "\x1b" not in written(terminal=False)
    plain_text = written(terminal=True, NO_COLOR="1")
    assert "Usage: qd COMMAND" in plain_text
    assert "\x1b" not in plain_text.replace("\r\x1b[2K", ""), "only the progress line is erased"


# ── markup ───────────────────────────────────────────────────────────────────────────────────────────────────────────
#: calls that make markup of a value, or return a number or one of our own words
SAFE = {"escape", "cell", "counted", "age", "size", "duration", "moment"}


def test_whatever_is_put_into_markup_is_escaped() -> None:
    folder = Path(cli.__file__).parent
    wrong = [
        f"{path.name}:{value.lineno}: {ast.unparse(value)}"
        for path in sorted(folder.glob("*.py"))
        for value in _values(ast.parse(path.read_text()))
        if not _is_safe(value)
    ]
    assert not wrong, "put escape(…) around what is printed, or give a number its format: {count:d}"


def _values(tree: ast.AST) -> Iterator[ast.FormattedValue]:
    """Yield the values in the f-strings that consoles print as markup."""
    for call in ast.walk(tree):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "print"):
            continue
        of = ast.unparse(call.func.value)
        if not of.endswith(("console", "errors")) or any(word.arg == "markup" for word in call.keywords):
            continue
        for argument in call.args:
            yield from _outer(argument)


def _outer(argument: ast.AST) -> Iterator[ast.FormattedValue]:
    """Yield values of f-strings, except those inside a call that makes them safe."""
    if isinstance(argument, ast.Call):
        return
    if isinstance(argument, ast.FormattedValue):
        yield argument
        return
    for child in ast.iter_child_nodes(argument):
        yield from _outer(child)


def _is_safe(value: ast.FormattedValue) -> bool:
    if value.format_spec is not None and ast.unparse(value.format_spec)[-2] in "dfg,":
        return True
    called = value.value
    return isinstance(called, ast.Call) and ast.unparse(called.func).rpartition(".")[2] in SAFE
