"""What Python scripts say through `quarterdeck.script` is parsed as what they meant."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck import script
from quarterdeck.agent.messages.lines import LineParser
from quarterdeck.model.messages import Level


def messages(printed: str) -> list[tuple[int, str]]:
    parser = LineParser(Level.STDOUT)
    found = [parser.feed(printed.encode()), parser.end()]
    return [(level, text.decode()) for each in found for level, text in zip(each.levels, each.texts, strict=True)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("low", "low"),
        ("", ""),
        ("7::not a mark", "7::not a mark"),
        ("one\ntwo\n", "one\ntwo"),
        ("one\n:::\n7::two", "one\n :::\n7::two"),
        ("\n:::", "\n :::"),
        ("a\r\n:::\r\nb\u2028c", "a\r\n :::\r\nb\u2028c"),
        ("a\u2028b", "a\u2028b"),
    ],
)
def test_a_text_is_one_message_of_its_level(text: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    script.message(7, text)
    print("after")
    assert messages(capsys.readouterr().out) == [(7, expected), (1, "after")]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_a_result_is_one_message_that_is_its_json(value: object) -> None:
    with pytest.MonkeyPatch.context() as patch:
        out = io.StringIO()
        patch.setattr("sys.stdout", out)
        script.result(value)
    ((level, text),) = messages(out.getvalue())
    assert (level, json.loads(text)) == (Level.RESULT_JSON, value)


def test_a_sample_is_one_of_statsd(capsys: pytest.CaptureFixture[str]) -> None:
    script.stat("waves:3|c")
    assert messages(capsys.readouterr().out) == [(Level.STATSD, "waves:3|c")]


@pytest.mark.parametrize(("passed", "expected"), [("", None), (" \n", None), ("[1]", [1]), ("null", None)])
def test_data_is_the_json_that_was_passed(passed: str, expected: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(passed))
    assert script.data() == expected
