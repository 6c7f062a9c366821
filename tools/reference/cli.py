"""cli.md: the verbs of `qd` and their options, as cyclopts knows them."""

from __future__ import annotations

import sys
from unittest.mock import patch

from cyclopts import App

from quarterdeck.cli.main import app
from quarterdeck.model.errors import BY_CODE


def page() -> str:
    """The page."""
    codes = sorted({kind.exit_code for kind in BY_CODE.values()})
    _hand_down(app)
    with patch.object(sys, "argv", ["qd"]):  # cyclopts would write how this was started into the usage lines
        verbs = app.generate_docs()
    return (
        verbs
        + "\n## Exit codes\n\n0 is success. Of a failure it is that of its [error](errors.md): "
        + ", ".join(map(str, codes))
        + ".\n"
    )


def _hand_down(parent: App) -> None:
    """What holds for all parameters: cyclopts forgets it below the first verb."""
    for name in parent:
        if not name.startswith("-"):
            parent[name].default_parameter = parent.default_parameter
            _hand_down(parent[name])
