from __future__ import annotations

import errno

import pytest

from quarterdeck.agent.keeper.refusals import refusal


@pytest.mark.parametrize(
    ("stage", "number", "words", "hint"),
    [
        ("program", errno.ENOENT, "There is no program '/x/y' on this node", "Install it"),
        ("program", errno.EACCES, "'/x/y' cannot be started: why.", "chmod"),
        ("program", errno.ENOEXEC, "'/x/y' cannot be started: why.", "#!"),
        ("program", errno.E2BIG, "'/x/y' cannot be started: why.", "standard input"),
        ("program", errno.EIO, "'/x/y' cannot be started: why.", ""),
        ("folder", errno.ENOENT, "The folder '/f' cannot be entered: why.", "workingdir"),
        ("user", errno.EPERM, "'/x/y' cannot be started, as it cannot become that user: why.", "root"),
        ("process", errno.EAGAIN, "'/x/y' cannot be started, as no process can be made for it: why.", "host"),
        ("a newer keeper's", 0, "'/x/y' cannot be started, as a newer keeper's: why.", ""),
    ],
)
def test_a_refusal_names_what_is_missing_and_says_what_to_do(stage: str, number: int, words: str, hint: str) -> None:
    told, do = refusal("/x/y", "/f", stage, number=number, why="why")
    assert told.startswith(words)
    assert hint in do


def test_a_program_without_a_path_was_looked_for() -> None:
    assert "'y' on this node's PATH" in refusal("y", "/", "program", number=errno.ENOENT, why="why")[0]
