from __future__ import annotations

import io

import msgspec
import pytest
from rich.console import Console

from quarterdeck.cli import output
from quarterdeck.model.errors import BadProgram
from quarterdeck.model.nodes import AgentState, Node
from quarterdeck.model.tables import parse_duration

NODE = Node(gid=1, nid=2, name="[web]", agent_id="a", state=AgentState.ONLINE, labels={"b": "2", "a": "1"})


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is printed, wide enough that nothing wraps."""
    written = io.StringIO()
    console = Console(file=written, width=200, highlight=False)
    monkeypatch.setattr(output, "console", console)
    monkeypatch.setattr(output, "errors", console)
    return written


def test_a_table_has_a_heading_and_a_line_for_each_item(screen: io.StringIO) -> None:
    columns = {"node": lambda n: n.name, "state": lambda n: n.state, "labels": lambda n: output.pairs(n.labels)}
    output.show([NODE], columns, json=False, empty="none")
    heading, line = screen.getvalue().splitlines()
    assert heading.split() == ["NODE", "STATE", "LABELS"]
    assert line.split() == ["[web]", "ONLINE", "a=1", "b=2"]


def test_nothing_to_show_is_said_in_words(screen: io.StringIO) -> None:
    output.show([], {}, json=False, empty="No nodes.")
    assert screen.getvalue() == "No nodes.\n"


def test_json_is_the_whole_struct(capsys: pytest.CaptureFixture[str]) -> None:
    output.show([NODE], {}, json=True, empty="")
    assert msgspec.json.decode(capsys.readouterr().out, type=list[Node]) == [NODE]


def test_no_items_are_an_empty_list_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    output.show([], {}, json=True, empty="No nodes.")
    assert capsys.readouterr().out == "[]\n"


def test_details_leave_out_what_is_empty(screen: io.StringIO) -> None:
    output.details([("a", ""), ("b", None), ("c", 0), ("d", ()), ("e", "[x]")])
    assert [line.split() for line in screen.getvalue().splitlines()] == [["c", "0"], ["e", "[x]"]]


def test_lines_of_a_table_end_where_their_text_ends(screen: io.StringIO) -> None:
    output.show(["a", "long"], {"one": lambda t: t, "two": lambda t: t if t == "long" else ""}, json=False, empty="")
    output.details([("name", "long"), ("other", "x")])
    assert screen.getvalue() == "ONE   TWO\na\nlong  long\nname   long\nother  x\n"


@pytest.mark.parametrize(
    ("seconds", "said"), [(2, "2s"), (0, "0s"), (1.5, "1.5s"), (90, "90s"), (300, "5m"), (5400, "90m"), (86400, "1d")]
)
def test_durations_are_said_as_they_are_written(seconds: float, said: str) -> None:
    assert output.duration(seconds) == said
    assert parse_duration(said) == seconds


def test_what_is_long_is_shortened_to_one_line() -> None:
    assert output.shortened("a\n  b") == "a b"
    assert output.shortened("x" * 100) == "x" * 59 + "…"


def test_an_error_shows_the_tools_own_lines_and_what_to_do(screen: io.StringIO) -> None:
    output.print_error(BadProgram("It does not compile.", lines=("a.c:1: error: [x]",), hint="Mend it."))
    assert screen.getvalue().splitlines() == [
        "error: It does not compile.",
        "  a.c:1: error: [x]",
        "hint: Mend it.",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59, "59s"), (60, "1m"), (3600, "1h"), (90_000, "1d"), (-5, "0s")]
)
def test_ages_are_short(seconds: float, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output.time, "time", lambda: 1_000_000.0)
    assert output.age(1_000_000.0 - seconds) == text


def test_what_never_happened_has_no_age() -> None:
    assert output.age(None) == output.age(0.0) == "never"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (32 << 20, "32.0 MiB"),
        (3 << 40, "3.0 TiB"),
        (5 << 50, "5120.0 TiB"),
    ],
)
def test_sizes_are_in_words(count: int, text: str) -> None:
    assert output.size(count) == text


IDENTITY = "409be240-3191-4c5c-b9bb-2845ffe7d919"


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (59, ["ID                                    COMMAND", f"{IDENTITY}  sleep for a long", " " * 38 + "while"]),
        (50, ["ID                                    COMMAND", f"{IDENTITY}  sleep for a long while"]),
    ],
)
def test_on_a_narrow_terminal_no_id_is_broken(width: int, lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(output, "console", Console(file=written, width=width, highlight=False))
    output.print_rows(["ID", "COMMAND"], [[IDENTITY, "sleep for a long while"]])
    assert written.getvalue().splitlines() == lines


def test_what_runs_is_green_and_what_failed_red() -> None:
    assert output.cell("RUNNING") == "[green]RUNNING[/]"
    assert output.cell("BACKOFF") == "[red]BACKOFF[/]"
