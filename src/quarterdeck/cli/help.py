"""`qd help`: the page that `--help` prints."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from cyclopts.completion import CompletionContext

from quarterdeck.cli.verbs import app, load_all, names_below
from quarterdeck.model.errors import BadInput


def _next_words(context: CompletionContext) -> tuple[str, ...]:
    return names_below(context[context.argument.name].raw_tokens)


def show_help(
    *words: Annotated[str, Parameter(name="WORD", help="A noun and a verb.", completer=_next_words)],
) -> None:
    """Print what --help prints: of all verbs, of a noun, or of one verb: qd help node ls"""
    _, _, unknown = app.parse_commands(words)
    if unknown:
        found = " ".join(("qd", *words[: len(words) - len(unknown)]))
        raise BadInput(f"'{found}' has no '{unknown[0]}'.", hint=f"See `{found} --help`.")
    if not words:
        load_all()
    app.help_print(words)
