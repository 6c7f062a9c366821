"""`qd graphql`: its query, its variables, and how the data is printed."""

from __future__ import annotations

import io
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from quarterdeck.cli import graphql, main


def qd(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, list[tuple[str, Any]]]:
    """Run the verb with a server that answers with the number of what it was asked; return the exit code too."""
    asked: list[tuple[str, Any]] = []

    def answer(query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        asked.append((query, variables))
        return {"asked": len(asked), "text": "ü"}

    @contextmanager
    def connect() -> Generator[SimpleNamespace]:
        yield SimpleNamespace(graphql=answer)

    monkeypatch.setattr(graphql, "connect", connect)
    monkeypatch.setattr(sys, "argv", ["qd", "graphql", *arguments])
    with pytest.raises(SystemExit) as ended:
        main.main()
    return int(ended.value.code or 0), asked


def test_data_is_printed_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, asked = qd(monkeypatch, "{ a }", "--variables", '{"b": [1]}')
    assert (code, asked) == (0, [("{ a }", {"b": [1]})])
    assert capsys.readouterr().out == '{\n  "asked": 1,\n  "text": "ü"\n}\n'


def test_data_is_printed_as_yaml(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = qd(monkeypatch, "{ a }", "-o", "yaml")
    assert code == 0
    assert capsys.readouterr().out == "asked: 1\ntext: ü\n"


def test_a_query_is_read_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"{ b }\n"), isatty=lambda: False))
    assert qd(monkeypatch, "-") == (0, [("{ b }\n", {})])


@pytest.mark.parametrize("variables", ["{", "[]", "x"])
def test_variables_are_a_json_object(
    variables: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, asked = qd(monkeypatch, "{ a }", "--variables", variables)
    assert (code, asked) == (2, [])
    assert "not a JSON object" in capsys.readouterr().err
