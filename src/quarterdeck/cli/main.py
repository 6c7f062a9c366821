"""`qd`: the command line. Names the verbs, and turns every error into words and an exit code."""

from __future__ import annotations

import sys
from typing import NoReturn

from cyclopts import App, CycloptsError, Parameter
from cyclopts.exceptions import UnusedCliTokensError

from quarterdeck import __version__
from quarterdeck.cli import output
from quarterdeck.model.errors import BadInput, QuarterdeckError, Unavailable

app = App(
    name="qd",
    help="Run things on nodes and see what they do: one agent on each host, one server that knows them all.",
    version=__version__,
    help_format="markdown",
    print_error=False,
    exit_on_error=False,
    default_parameter=Parameter(
        negative=(), show_default=lambda value: value if value not in ((), "", False) else None
    ),
)
#: imported when they are asked for: starting is what most calls of `qd` take longest for
_VERBS = (
    "up:up", "up:down", "up:status", "serve:server", "serve:agent", "table:query", "table:tables", "table:tail",
    "logs:logs", "audit:audit", "doctor:doctor",
)  # fmt: skip
_NOUNS = ("run", "node", "job", "file", "service", "module", "token")
for verb in _VERBS:
    app.command(f"quarterdeck.cli.{verb}")
for noun in _NOUNS:
    app.command(f"quarterdeck.cli.{noun}:app", name=noun)
app.command("quarterdeck.cli.settings:app", name="config")


def main() -> None:
    """Runs one command. Exit code 0 is success; otherwise that of the error (docs/reference/errors.md)."""
    try:
        app(_tokens(sys.argv[1:]))
    except CycloptsError as error:
        _end(_misread(error))
    except QuarterdeckError as error:
        _end(error)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output went away, as `| head` does
        sys.exit(0)
    except OSError as error:
        trouble = Unavailable(f"{error.filename or 'The system'}: {error.strerror or error}.")
        if isinstance(error, PermissionError):
            trouble.hint = "Ask as its owner (or root), or choose another data folder with QD_HOME."
        _end(trouble)


def _end(error: QuarterdeckError) -> NoReturn:
    output.print_error(error)
    sys.exit(error.exit_code)


def _misread(error: CycloptsError) -> BadInput:
    """What is wrong with the command line, as every other mistake is said."""
    if isinstance(error, UnusedCliTokensError):
        more = " ".join(error.unused_tokens or ())
        return BadInput(f"'{more}' is more than this takes.", hint="Put quotes around what is one argument.")
    return BadInput(str(error))


def _tokens(given: list[str]) -> list[str]:
    """The command line as cyclopts is to see it."""
    if given[:1] == ["run"]:
        from quarterdeck.cli import run  # noqa: PLC0415

        return run.separated(given)
    if given[:1] in ([], ["-h"], ["--help"]):
        for verb in app:
            app[verb]  # loads it, and so what the page of all says of it
    return given


if __name__ == "__main__":
    main()
