"""A list in every format: the columns are declared once, and nothing is lost where no person looks at it."""

from __future__ import annotations

import csv
import io

import msgspec
import pytest
import yaml
from rich.console import Console

from quarterdeck.cli import formats, output
from quarterdeck.cli.cells import Age, Long, Size
from quarterdeck.cli.formats import Format, ListOptions, OutputOptions
from quarterdeck.cli.listing import Column, Listing, print_details, print_rows
from quarterdeck.model.errors import BadInput
from quarterdeck.model.nodes import AgentState, Facts, Node

NODE = Node(
    gid=1,
    nid=2,
    name="[web]",
    agent_id="a",
    state=AgentState.ONLINE,
    labels={"b": "2", "a": "1"},
    facts=Facts(memory_bytes=1536),
    seen_at=1_763_726_400.0,
)
NODES = Listing[Node](
    columns=(
        Column("node", lambda n: n.name),
        Column("state", lambda n: n.state),
        Column("labels", lambda n: output.pairs(n.labels), rank=1),
        Column("memory", lambda n: Size(n.facts.memory_bytes), rank=2),
        Column("last seen", lambda n: Age(n.seen_at), wide=True),
        Column("reason", lambda n: n.facts.ebpf_reason, only_filled=True),
    ),
    name=lambda n: str(n.key),
    empty="No nodes.",
)
TEXTS = Listing[str](columns=(Column("text", Long),), name=lambda text: text, empty="")


def on_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> tuple[io.StringIO, io.StringIO]:
    out, err = io.StringIO(), io.StringIO()
    console = Console(file=out, width=width, highlight=False, emoji=False, force_terminal=True, color_system=None)
    monkeypatch.setattr(output, "console", console)
    monkeypatch.setattr(output, "errors", Console(file=err, width=200, highlight=False))
    return out, err


def test_a_table_has_a_heading_and_a_line_for_each_item(capsys: pytest.CaptureFixture[str]) -> None:
    NODES.print_items([NODE], OutputOptions())
    heading, line = capsys.readouterr().out.splitlines()
    assert heading.split() == ["NODE", "STATE", "LABELS", "MEMORY"]
    assert line.split() == ["[web]", "ONLINE", "a=1", "b=2", "1.5", "KiB"]


def test_wide_has_more_columns(capsys: pytest.CaptureFixture[str]) -> None:
    NODES.print_items([NODE], OutputOptions(output=Format.WIDE))
    assert capsys.readouterr().out.splitlines()[0].split() == ["NODE", "STATE", "LABELS", "MEMORY", "LAST", "SEEN"]


def test_names_are_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    NODES.print_items([NODE, NODE], OutputOptions(output=Format.NAME))
    assert capsys.readouterr().out == "1/2\n"


def test_csv_has_every_column_in_exact_values(capsys: pytest.CaptureFixture[str]) -> None:
    NODES.print_items([NODE], OutputOptions(output=Format.CSV))
    assert list(csv.reader(io.StringIO(capsys.readouterr().out))) == [
        ["node", "state", "labels", "memory", "last_seen", "reason"],
        ["[web]", "ONLINE", "a=1 b=2", "1536", "2025-11-21T12:00:00.000+00:00", ""],
    ]


def test_json_and_yaml_are_the_whole_structs(capsys: pytest.CaptureFixture[str]) -> None:
    NODES.print_items([NODE], OutputOptions(json=True))
    assert msgspec.json.decode(capsys.readouterr().out, type=list[Node]) == [NODE]
    NODES.print_items([NODE], OutputOptions(output=Format.YAML))
    assert msgspec.convert(yaml.safe_load(capsys.readouterr().out), list[Node]) == [NODE]


def test_nothing_to_show_is_said_in_words_or_is_an_empty_list(capsys: pytest.CaptureFixture[str]) -> None:
    NODES.print_items([], OutputOptions())
    assert capsys.readouterr() == ("", "No nodes.\n")
    NODES.print_items([], OutputOptions(output=Format.JSON))
    assert capsys.readouterr() == ("[]\n", "")


def test_json_and_another_format_exclude_each_other() -> None:
    with pytest.raises(BadInput, match="--json and -o csv"):
        NODES.print_items([NODE], OutputOptions(json=True, output=Format.CSV))


def test_a_text_that_looks_like_markup_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    text = ":warning: [red]x[/] [/] :+1:"
    TEXTS.print_items([text], OutputOptions())
    output.details([("command", text)])
    assert capsys.readouterr().out.splitlines() == ["TEXT", text, f"command  {text}"]


def test_nothing_is_cut_in_a_pipe_however_long_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    TEXTS.print_items(["x y " * 5000], OutputOptions())
    assert capsys.readouterr().out.splitlines()[1:] == [("x y " * 5000).strip()]


def test_on_a_terminal_what_is_long_is_shortened_unless_it_is_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    out, _ = on_terminal(monkeypatch, 200)
    TEXTS.print_items(["x" * 100], OutputOptions())
    TEXTS.print_items(["x" * 100], OutputOptions(output=Format.WIDE))
    assert out.getvalue().splitlines() == ["TEXT", "x" * 59 + "…", "TEXT", "x" * 100]


@pytest.mark.parametrize(
    ("width", "headings", "gone"),
    [
        (80, ["NODE", "STATE", "LABELS", "MEMORY"], ""),
        (22, ["NODE", "STATE", "LABELS"], "not shown: memory (-o wide)\n"),
        (15, ["NODE", "STATE"], "not shown: labels, memory (-o wide)\n"),
        (5, ["NODE", "STATE"], "not shown: labels, memory (-o wide)\n"),
    ],
)
def test_on_a_narrow_terminal_the_least_important_columns_give_way(
    width: int, headings: list[str], gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, err = on_terminal(monkeypatch, width)
    NODES.print_items([NODE], OutputOptions())
    assert out.getvalue().splitlines()[0].split() == headings
    assert err.getvalue() == gone


def test_lines_of_a_table_end_where_their_text_ends(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(["ONE", "TWO"], [["a", ""], ["long", "long"]])
    output.details([("name", "long"), ("other", "x")])
    assert capsys.readouterr().out == "ONE   TWO\na\nlong  long\nname   long\nother  x\n"


IDENTITY = "409be240-3191-4c5c-b9bb-2845ffe7d919"


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (59, ["ID                                    COMMAND", f"{IDENTITY}  sleep for a long", " " * 38 + "while"]),
        (50, ["ID                                    COMMAND", f"{IDENTITY}  sleep for a long while"]),
    ],
)
def test_on_a_narrow_terminal_no_id_is_broken(width: int, lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    out, _ = on_terminal(monkeypatch, width)
    print_rows(["ID", "COMMAND"], [[IDENTITY, "sleep for a long while"]])
    assert out.getvalue().splitlines() == lines


def test_details_are_pairs_for_people_and_the_struct_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    def pairs() -> list[tuple[str, object]]:
        return [("node", NODE.name), ("memory", Size(1536)), ("none", "")]

    print_details(NODE, pairs, OutputOptions(), name=NODE.name, more=lambda: print("more"))
    assert capsys.readouterr().out == "node    [web]\nmemory  1.5 KiB\nmore\n"
    print_details(NODE, pairs, OutputOptions(output=Format.CSV), name=NODE.name)
    assert capsys.readouterr().out == "node,memory,none\n[web],1536,\n"
    print_details(NODE, pairs, OutputOptions(output=Format.NAME), name=NODE.name)
    assert capsys.readouterr().out == "[web]\n"
    print_details(NODE, pairs, OutputOptions(json=True), name=NODE.name)
    assert msgspec.json.decode(capsys.readouterr().out, type=Node) == NODE


def test_a_watched_list_is_found_and_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    monkeypatch.setattr(formats.sys, "stdout", screen)
    found = iter([["a"], ["b"]])
    drawn: list[str] = []
    with pytest.raises(StopIteration):
        ListOptions(watch=True).draw(lambda: next(found), drawn.extend, interval_s=0.0)
    assert drawn == ["a", "b"]
    assert screen.getvalue().count("\x1b[2J") == 2


def test_a_watched_list_is_drawn_until_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(formats.sys, "stdout", Screen())
    found, drawn = iter([["runs"], ["runs"], ["ended"]]), list[str]()
    ListOptions(watch=True).draw(lambda: next(found), drawn.extend, over=lambda items: items == ["ended"], interval_s=0)
    assert drawn == ["runs", "runs", "ended"]


def test_only_a_table_on_a_terminal_can_be_watched() -> None:
    with pytest.raises(BadInput, match="--watch redraws a table on a terminal"):
        TEXTS.print(list, ListOptions(watch=True))


def test_times_are_those_of_the_terminal_unless_utc_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "CET-1")
    output.time.tzset()
    try:
        assert output.moment(NODE.seen_at, utc=False) == "2025-11-21 13:00:00 CET"
        assert output.moment(NODE.seen_at, utc=True) == "2025-11-21 12:00:00 UTC"
    finally:
        monkeypatch.undo()
        output.time.tzset()
