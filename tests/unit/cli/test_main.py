from __future__ import annotations

import sys
from pathlib import Path

import pytest

from quarterdeck import __version__
from quarterdeck.cli import main


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of `qd` with these arguments."""
    monkeypatch.setattr(sys, "argv", ["qd", *arguments])
    with pytest.raises(SystemExit) as ended:
        main.main()
    return int(ended.value.code or 0)


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No server: an empty home, and an address where nobody listens."""
    monkeypatch.setenv("QD_HOME", str(tmp_path))
    monkeypatch.setenv("QD_HTTP", "127.0.0.1:9")
    monkeypatch.delenv("QD_TOKEN", raising=False)


def test_help_and_version_succeed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help", monkeypatch=monkeypatch) == 0
    assert "qd COMMAND" in capsys.readouterr().out
    assert run("--version", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("node", "nonsense"),
        ("query",),
        ("query", "SELECT 1", "--output", "xml"),
        ("node", "ls", "--on", "web"),
        ("module", "deploy", "execs", "--set", "only_uid"),
        ("token", "create", "--expires", "soon"),
        ("config", "show", "neither"),
    ],
    ids=" ".join,
)
def test_a_mistake_on_the_command_line_is_exit_code_2_and_no_trace(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QD_TOKEN", "any")
    assert run(*arguments, monkeypatch=monkeypatch) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("servcie",), 'Unknown command "servcie". Did you mean "service"?'),
        (("run", "--nod", "a", "ls"), "Unknown option: --nod. Did you mean --node?"),
        (("query", "SELECT", "1", "FROM", "t"), "'1 FROM t' is more than this takes.\nhint: Put quotes around"),
    ],
)
def test_a_word_that_is_none_is_said_with_what_may_be_meant(
    arguments: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments, monkeypatch=monkeypatch) == 2
    assert f"error: {words}" in capsys.readouterr().err


def test_without_a_token_the_exit_code_is_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("node", "ls", monkeypatch=monkeypatch) == 3
    assert "No API token" in capsys.readouterr().err


def test_without_a_server_the_exit_code_is_69(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QD_TOKEN", "any")
    assert run("node", "ls", monkeypatch=monkeypatch) == 69
    assert "No server answers at http://127.0.0.1:9" in capsys.readouterr().err


def test_a_file_of_another_user_is_an_error_in_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_arguments: list[str]) -> None:
        raise PermissionError(13, "Permission denied", "/srv/up.lock")

    monkeypatch.setattr(main, "app", refuse)
    assert run("status", monkeypatch=monkeypatch) == 69
    assert "/srv/up.lock: Permission denied" in capsys.readouterr().err


def test_a_log_level_that_is_none_is_an_error_in_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QD_LOG", "loud")
    assert run("server", monkeypatch=monkeypatch) == 2
    assert "QD_LOG is 'LOUD'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["query", "--json", "select 1"], ["query", "--json", "select 1"]),
        (["query", "-", "-o", "csv"], ["query", "-o", "csv", "--", "-"]),
        (["query", "-- all\nselect 1", "--json"], ["query", "--json", "--", "-- all\nselect 1"]),
        (["query", "--timeout=5 s", "select 1"], ["query", "--timeout=5 s", "select 1"]),
        (["service", "apply", "-", "--all"], ["service", "apply", "--all", "--", "-"]),
    ],
)
def test_what_begins_with_a_hyphen_and_is_no_option_is_read_as_text(given: list[str], read: list[str]) -> None:
    assert main.to_tokens(given) == read
