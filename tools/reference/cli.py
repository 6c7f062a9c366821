"""cli.md: the verbs of `qd` and their options, as cyclopts knows them."""

from __future__ import annotations

from quarterdeck.cli.main import app
from quarterdeck.model.errors import BY_CODE


def page() -> str:
    """The page."""
    codes = sorted({kind.exit_code for kind in BY_CODE.values()})
    return (
        app.generate_docs()
        + "\n## Exit codes\n\n0 is success. Of a failure it is that of its [error](errors.md): "
        + ", ".join(map(str, codes))
        + ".\n"
    )
