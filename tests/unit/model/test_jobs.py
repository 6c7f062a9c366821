from __future__ import annotations

import pytest

from quarterdeck.model.jobs import in_one_line


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ({"cmd": "sh", "args": ["-c", "echo a b"], "user": "www", "env": {"TOKEN": "x"}}, "sh -c 'echo a b'"),
        ({"cmd": "tool", "args": 7}, "tool"),
        ({"name": "disk", "sha256": "ab", "env": {"TOKEN": "x"}}, "name=disk"),
        ({"sha256": "cd", "env": {"TOKEN": "x"}}, "sha256=cd"),
        ({}, ""),
    ],
)
def test_what_was_asked_is_one_line_without_the_environment(args: dict[str, object], line: str) -> None:
    assert in_one_line(args) == line
