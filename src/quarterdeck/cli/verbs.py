"""The verbs of `qd`, with the module of each.

Owns the registration. A verb is imported when it is called, because imports take the most time of a call.
"""

from __future__ import annotations

from cyclopts import App, Parameter

from quarterdeck import __version__
from quarterdeck.cli import output

app = App(
    name="qd",
    help="Run things on nodes and see what they do: one agent on each host, one server that knows them all.",
    version=__version__,
    help_format="markdown",
    console=output.pages,
    print_error=False,
    exit_on_error=False,
    default_parameter=Parameter(
        negative=(), show_default=lambda value: value if value not in ((), "", False) else None
    ),
)
_VERBS = (
    "up:up", "up:down", "up:status", "ui:ui", "serve:server", "serve:agent", "table:tables", "table:tail",
    "graphql:graphql", "logs:logs", "audit:audit", "doctor:doctor", "version:version", "completion:completion",
)  # fmt: skip
_NOUNS = ("run", "node", "job", "file", "service", "module", "query", "token", "login")
for verb in _VERBS:
    app.command(f"quarterdeck.cli.{verb}")
for noun in _NOUNS:
    app.command(f"quarterdeck.cli.{noun}:app", name=noun)
app.command("quarterdeck.cli.settings:app", name="config")
app.command("quarterdeck.cli.help:show_help", name="help")


def load_all() -> None:
    """Import every verb, for what describes all of them."""
    for name in app:
        app[name]


def names_below(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the verbs that can follow these words."""
    _, path, _ = app.parse_commands(words)
    return tuple(name for name in path[-1] if not name.startswith("-"))
