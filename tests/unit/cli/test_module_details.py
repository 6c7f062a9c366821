"""What `qd module` shows of a build: warnings to the letter, values that fit a line."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from quarterdeck.cli import module_details
from quarterdeck.cli.formats import OutputOptions
from quarterdeck.model.modules import Module, Setting
from tests.services import make_build


def shown(capsys: pytest.CaptureFixture[str], *settings: Setting, warnings: tuple[str, ...] = ()) -> str:
    build = replace(make_build("m").build, settings=settings, warnings=warnings)
    module_details.print_build(Module(id="", name="m", build=build), OutputOptions())
    out, err = capsys.readouterr()
    return out + err


def test_a_warning_keeps_its_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    warning = "not attached, and no [[probe]] does: a, [b], [red]c[/red], [/]"
    assert warning in shown(capsys, warnings=(warning,))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([0] * 1000, "1000 zeros"),
        ([7, *[0] * 999], "[7, 0, 0, 0, 0, 0, 0, 0, …] (1000 in all)"),
        ([1, 2], "[1, 2]"),
        ("00" * 500, "1000 zeros"),
        ("ab" * 500, f"{'ab' * 32}… (1000 characters)"),
        (0, "0"),
    ],
)
def test_a_long_value_is_told_in_short(
    value: list[int | float] | str | int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    setting = Setting(name="x", section=".rodata", offset=0, size=8, type="uint", default=value)
    assert words in shown(capsys, setting)
