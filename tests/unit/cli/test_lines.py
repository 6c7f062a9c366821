"""Lines of processes are printed byte for byte, and no node writes into another's line."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

import pytest

from quarterdeck.cli.lines import NodeLines
from quarterdeck.model.messages import Level, Mark, Message


def message(data: str, level: int = 1, marks: int = 0, raw: bytes = b"") -> Message:
    return Message(id=1, job_id="c", epoch=0, level=level, data=data, marks=marks, raw=raw)


class Terminal(io.TextIOWrapper):
    """A terminal."""

    def __init__(self) -> None:
        self.written = io.BytesIO()
        super().__init__(self.written, encoding="utf-8")

    def isatty(self) -> bool:
        return True

    @property
    def bytes(self) -> bytes:
        self.flush()
        return self.written.getvalue()


Captured = pytest.CaptureFixture[bytes]


def test_without_prefix_it_is_what_the_program_wrote(capsysbinary: Captured) -> None:
    lines = NodeLines(["a"], prefix=False)
    lines.print("a", [message("\ufffd", raw=b"\xff\x00", marks=Mark.CONTINUES), message("tail", marks=Mark.CRLF)])
    lines.print("a", [message(""), message("oops", level=2), message("10% "), message("half", marks=Mark.CONTINUES)])
    assert capsysbinary.readouterr() == (b"\xff\x00tail\r\n\n10% \nhalf", b"oops\n")


def test_each_line_comes_after_its_node(capsysbinary: Captured) -> None:
    lines = NodeLines(["a", "long"], prefix=True)
    lines.print("a", [message("x"), message("a\nblock\n", level=5), message("y", marks=Mark.CRLF)])
    lines.print("long", [message("full", level=Level.OPS_ERROR), message("z")])
    out, err = capsysbinary.readouterr()
    assert out == b"a    | x\na    | y\r\nlong | z\n"
    assert err == b"a    | log: a\na    | log: block\na    | log: \nlong | ops error: full\n"


@pytest.mark.parametrize("prefix", [True, False])
def test_a_line_goes_on_unless_another_came_between(capsysbinary: Captured, prefix: bool) -> None:
    lines = NodeLines(["a", "b"], prefix=prefix)
    a, b = (b"a | ", b"b | ") if prefix else (b"", b"")
    half = message("half", marks=Mark.CONTINUES)
    lines.print("a", [half])
    lines.print("a", [half])
    lines.print("b", [message("x")])
    lines.print("a", [message("rest")])
    assert capsysbinary.readouterr().out == a + b"halfhalf\n" + b + b"x\n" + a + b"rest\n"


def test_a_result_is_left_to_whoever_prints_it(capsysbinary: Captured) -> None:
    lines = NodeLines(["a"], prefix=False)
    lines.print("a", [message("{}", level=20)])
    assert capsysbinary.readouterr() == (b"", b"")
    lines.print("a", [message("{}", level=20)], results=True)
    assert capsysbinary.readouterr().err == b"result json: {}\n"


def _colours(written: bytes) -> Sequence[bytes]:
    return [line.partition(b"m")[0] for line in written.splitlines()]


def test_on_a_terminal_each_node_has_its_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.delenv("NO_COLOR", raising=False)
    lines = NodeLines(["a", "b"], prefix=True)
    lines.print("a", [message("x")])
    lines.print("b", [message("x")])
    lines.print("a", [message("x")])
    first, second, third = _colours(screen.bytes)
    assert first == third != second
    monkeypatch.setenv("NO_COLOR", "1")
    NodeLines(["a"], prefix=True).print("a", [message("y")])
    assert screen.bytes.endswith(b"\na | y\n")


def test_two_streams_on_one_terminal_do_not_share_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("NO_COLOR", "1")
    lines = NodeLines(["a", "b"], prefix=True)
    lines.print("a", [message("half", marks=Mark.CONTINUES)])
    lines.print("b", [message("oops", level=2)])
    lines.print("a", [message("rest"), message("oops", level=2, marks=Mark.CONTINUES)])
    lines.print("a", [message("x")])
    assert screen.bytes == b"a | half\nb | oops\na | rest\na | oops\na | x\n"


def test_a_line_without_end_is_ended_where_more_may_follow_in_it(
    capsysbinary: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = message("half", marks=Mark.CONTINUES)
    lines = NodeLines(["a"], prefix=False)
    lines.print("a", [half])
    assert not lines.unfinished
    lines.finish()
    assert capsysbinary.readouterr().out == b"half"
    lines = NodeLines(["a"], prefix=True)
    lines.print("a", [half])
    lines.finish()
    assert capsysbinary.readouterr().out == b"a | half\n"
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    lines = NodeLines(["a"], prefix=False)
    lines.print("a", [half])
    assert lines.unfinished
    lines.finish()
    lines.finish()
    assert screen.bytes == b"half\n"
