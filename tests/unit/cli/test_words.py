"""Each `qd VERB --option` that an error, a hint or a comment names is one that there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.cli.verbs import app

ROOT = Path(__file__).parents[3]
_QUOTED = re.compile(r"`qd ([^`]+)`")


def named() -> Iterator[tuple[str, str]]:
    """Where a call of `qd` is named, and what stands behind `qd`."""
    for path in sorted((ROOT / "src/quarterdeck").rglob("*.py")):
        for call in _QUOTED.findall(path.read_text()):
            yield f"{path.relative_to(ROOT)}", call


def wrong(call: str) -> str:
    """What of this call there is not; empty if there is everything."""
    tokens = call.split(" -- ", maxsplit=1)[0].replace("\\\n", " ").split()
    chain, apps, rest = app.parse_commands(tokens)
    verb = apps[-1]
    if getattr(verb.default_command, "__name__", "help_print") == "help_print":  # a noun
        return f"no verb {rest[0]}" if rest and re.fullmatch("[a-z]+", rest[0]) else ""
    if chain == ("run",):  # what follows may be the program's
        return ""
    known = {name for argument in verb.assemble_argument_collection() for name in argument.names} | {"--help"}
    options = (token.split("=")[0].strip("…,") for token in rest if re.match("--[a-z]", token))
    return ", ".join(f"no option {option}" for option in options if option not in known)


def test_every_call_that_a_text_names_exists() -> None:
    assert [f"{where}: qd {call}: {why}" for where, call in named() if (why := wrong(call))] == []


@pytest.mark.parametrize(
    ("call", "why"),
    [("file put x", "no verb put"), ("nonsense", "no verb nonsense"), ("node ls --al", "no option --al")],
)
def test_a_call_that_does_not_exist_is_found(call: str, why: str) -> None:
    assert wrong(call) == why
