"""Bytes that are no UTF-8, wherever people give them, are an error in words."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from quarterdeck.cli.text import check_text, standard_input
from quarterdeck.model.errors import BadInput

LATIN = b"caf\xe9"


@pytest.mark.parametrize(
    "arguments",
    [
        [b"run", b"--", b"echo", LATIN],
        [b"run", b"--env", b"A=" + LATIN, b"true"],
        [b"node", b"show", LATIN],
        [b"query", LATIN],
        [b"file", b"push", LATIN, b"/tmp/x"],
        [b"file", b"pull", b"/etc/hosts", LATIN],
        [b"job", b"start", b"ping", b"--arg", b"a=" + LATIN],
        [b"service", b"apply", LATIN],
        [b"module", b"build", LATIN],
        [LATIN],
        [b"--" + LATIN],
    ],
)
def test_an_argument_is_named_with_its_place(arguments: list[bytes], tmp_path: Path) -> None:
    program = [sys.executable.encode(), b"-m", b"quarterdeck.cli.main", *arguments]
    done = subprocess.run(program, capture_output=True, check=False, env={**os.environb, b"QD_HOME": bytes(tmp_path)})
    assert (done.returncode, done.stdout) == (2, b"")
    place = next(number for number, argument in enumerate(arguments, 1) if LATIN in argument)
    assert done.stderr.startswith(f"error: Argument {place} is not UTF-8: ".encode())
    assert b"Traceback" not in done.stderr


def test_a_variable_of_ours_is_checked_and_no_other() -> None:
    check_text([], {"LS_COLORS": "\udce9"})
    with pytest.raises(BadInput, match="QD_TOKEN is not UTF-8"):
        check_text([], {"QD_TOKEN": "\udce9"})


def test_standard_input_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LATIN)))
    with pytest.raises(BadInput, match="not text in UTF-8"):
        standard_input()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("café\r\n".encode())))
    assert standard_input() == "café\r\n"
