"""cli.md: the verbs of `qd` and their options, from cyclopts."""

from __future__ import annotations

import sys
from unittest.mock import patch

from cyclopts import App

from quarterdeck.cli.verbs import app
from quarterdeck.model.errors import BY_CODE
from tools.reference.markdown import table

_EXIT_CODES = """0 means success, and 1 means a result that is not OK. The exit code of an error is in this table. The
[guide](../guide/command-line.md#exit-codes) describes the meaning of each exit code.
"""


def page() -> str:
    """Return the page."""
    codes: dict[int, list[str]] = {}
    for name, kind in BY_CODE.items():
        codes.setdefault(kind.exit_code, []).append(f"[`{name}`](errors.md#{name})")
    _hand_down(app)
    with patch.object(sys, "argv", ["qd"]):  # cyclopts would write the name of this program into the usage lines
        verbs = app.generate_docs()
    rows = [(number, ", ".join(names)) for number, names in sorted(codes.items())]
    return f"{verbs}\n## Exit codes\n\n{_EXIT_CODES}\n{table(('exit code', 'errors'), rows)}"


def _hand_down(parent: App) -> None:
    """Pass the settings for all parameters on to every verb: cyclopts does not pass them below the first one."""
    for name in parent:
        if not name.startswith("-"):
            parent[name].default_parameter = parent.default_parameter
            _hand_down(parent[name])
