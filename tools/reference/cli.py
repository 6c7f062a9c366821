"""cli.md: the verbs of `qd` and their options, as cyclopts knows them."""

from __future__ import annotations

import sys
from unittest.mock import patch

from quarterdeck.cli.main import app
from quarterdeck.model.errors import BY_CODE


def page() -> str:
    """The page."""
    codes = sorted({kind.exit_code for kind in BY_CODE.values()})
    with patch.object(sys, "argv", ["qd"]):  # cyclopts would write how this was started into the usage lines
        verbs = app.generate_docs()
    return (
        verbs
        + "\n## Exit codes\n\n0 is success. Of a failure it is that of its [error](errors.md): "
        + ", ".join(map(str, codes))
        + ".\n"
    )
