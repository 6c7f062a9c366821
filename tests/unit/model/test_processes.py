"""The settings of a process: the refused values, and the messages."""

from __future__ import annotations

import shlex
from typing import Any

import msgspec
import pytest

from quarterdeck.model.errors import BadInput
from quarterdeck.model.processes import (
    ExecuteArguments,
    Limits,
    ProcessSettings,
    UsualSettings,
    parse_size,
    program_line,
)


@pytest.mark.parametrize(
    ("written", "size"),
    [(1, 1), ("1", 1), ("512K", 512 * 1024), ("512M", 2**29), ("1.5G", 3 * 2**29), ("2GiB", 2**31), ("1 tb", 2**40)],
)
def test_sizes_are_read_as_people_write_them(written: int | str, size: int) -> None:
    assert parse_size(written) == size


@pytest.mark.parametrize("written", ["", "M", "-1", "1.5.5M", "many", 0, -4, "0", 1 << 63, 10**400, "9" * 400])
def test_what_is_no_size_is_refused(written: int | str) -> None:
    with pytest.raises(BadInput, match="not a size"):
        parse_size(written)


@pytest.mark.parametrize(
    "given",
    [
        {"max_time": -2},
        {"max_restart": -2},
        {"recurring_period": -1},
        {"cpus": 0},
        {"pids": 0},
        {"grace": -1},
        {"stats_interval": 0},
        {"memory": "much"},
        {"user": "nobody\0"},
        {"workingdir": "/\0"},
    ],
)
def test_a_setting_out_of_its_range_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=next(iter(given)) if "memory" not in given else "size"):
        ProcessSettings(**given)
    with pytest.raises(BadInput):
        msgspec.convert({"cmd": "x", **given}, ExecuteArguments)


def test_a_whole_number_of_seconds_is_a_time() -> None:
    assert msgspec.convert({"cmd": "true", "max_time": -1}, ExecuteArguments).remembered


def test_what_a_program_is_told_overrules_what_is_usual_on_its_node() -> None:
    usual = UsualSettings(stats_interval=5, loglevels_ac="1-9", loglevels_db="*")
    assert UsualSettings().stats_interval == 30.0
    assert ProcessSettings().complete(usual) == usual
    assert ProcessSettings(stats_interval=120, loglevels_ac="", loglevels=(7,)).complete(usual) == UsualSettings(
        stats_interval=120,
        loglevels_ac="",
        loglevels=(7,),
        loglevels_db="*",
    )


@pytest.mark.parametrize(
    "wrong", [{"loglevels": "x"}, {"loglevels_db": 0}, {"loglevels_ac": "1-99"}, {"stats_interval": 0}]
)
def test_what_is_usual_must_make_sense_and_the_setting_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=next(iter(wrong))):
        UsualSettings(**wrong)


def test_limits_are_of_the_whole_tree() -> None:
    assert ProcessSettings(memory="1M", cpus=0.5, pids=3).limits == Limits(memory_bytes=2**20, cpus=0.5, pids=3)
    assert ProcessSettings().limits == Limits()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["uptime", "-p"], "uptime -p"),
        (["sh", "-c", "echo a b"], "sh -c 'echo a b'"),
        (["python3", "-c", "print('a')"], """python3 -c "print('a')\""""),
        (["echo", """it's $HOME"""], """echo 'it'"'"'s $HOME'"""),
        (["printf", ""], "printf ''"),
    ],
)
def test_a_program_is_shown_as_one_would_type_it(words: list[str], line: str) -> None:
    assert program_line(words) == line
    assert shlex.split(line) == words
