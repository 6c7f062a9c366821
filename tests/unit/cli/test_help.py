"""`qd help`: the same page as `--help`."""

from __future__ import annotations

import sys

import pytest

from quarterdeck.cli import main


def printed(*arguments: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Return the exit code and the output of `qd` with these arguments."""
    monkeypatch.setattr(sys, "argv", ["qd", *arguments])
    with pytest.raises(SystemExit) as ended:
        main.main()
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out + err


@pytest.mark.parametrize("words", [(), ("node",), ("node", "ls"), ("job", "schedule", "add"), ("run",)], ids=" ".join)
def test_help_is_the_page_of_the_option(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, page = printed("help", *words, monkeypatch=monkeypatch, capsys=capsys)
    assert (code, page) == printed(*words, "--help", monkeypatch=monkeypatch, capsys=capsys)
    assert page.startswith(" ".join(("Usage: qd", *words)))


def test_a_verb_that_is_none_has_no_page(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = printed("help", "node", "lst", monkeypatch=monkeypatch, capsys=capsys)
    assert code == 2
    assert said == "error: 'qd node' has no 'lst'.\nhint: See `qd node --help`.\n"
