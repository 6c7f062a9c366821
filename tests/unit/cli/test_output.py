from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from quarterdeck.cli import output
from quarterdeck.model.durations import parse_duration
from quarterdeck.model.errors import BadProgram


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is printed, wide enough that nothing wraps."""
    written = io.StringIO()
    console = Console(file=written, width=200, highlight=False)
    monkeypatch.setattr(output, "console", console)
    monkeypatch.setattr(output, "errors", console)
    return written


def test_details_leave_out_what_is_empty(screen: io.StringIO) -> None:
    output.details([("a", ""), ("b", None), ("c", 0), ("d", ()), ("e", "[x]")])
    assert [line.split() for line in screen.getvalue().splitlines()] == [["c", "0"], ["e", "[x]"]]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(2, "2s"), (0, "0s"), (1.5, "1.5s"), (90, "1m30s"), (300, "5m"), (5400, "1h30m"), (86400, "1d")],
)
def test_durations_are_said_as_they_are_written(seconds: float, said: str) -> None:
    assert output.duration(seconds) == said
    assert parse_duration(said) == seconds


def test_an_error_shows_the_tools_own_lines_and_what_to_do(screen: io.StringIO) -> None:
    output.print_error(BadProgram("It does not compile.", lines=("a.c:1: error: [x]",), hint="Mend it."))
    assert screen.getvalue().splitlines() == [
        "error: It does not compile.",
        "  a.c:1: error: [x]",
        "hint: Mend it.",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (59, "59s"),
        (60, "1m"),
        (200, "3m20s"),
        (3600, "1h"),
        (11_520, "3h12m"),
        (90_000, "1d1h"),
        (10 * 86400, "10d"),
    ],
)
def test_time_spans_are_short(seconds: float, text: str) -> None:
    assert output.elapsed(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(90_000, "1d1h"), (-5, "0s")])
def test_an_age_is_the_time_since_then(seconds: float, text: str) -> None:
    assert output.age(time.time() - seconds) == text


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


@pytest.mark.parametrize(("ms", "text"), [(7, "7 ms"), (3210, "3.2 s"), (11_520_000, "3h12m")])
def test_what_took_long_is_said_in_larger_units(ms: float, text: str) -> None:
    assert output.took(ms) == text


def test_what_runs_is_green_and_what_failed_red() -> None:
    assert output.cell("RUNNING") == "[green]RUNNING[/]"
    assert output.cell("BACKOFF") == "[red]BACKOFF[/]"
