"""`qd`: the command line. Runs one verb, and turns every error into a message and an exit code."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from cyclopts import CycloptsError
from cyclopts.exceptions import UnusedCliTokensError

from quarterdeck.cli import leaving, output
from quarterdeck.cli.text import check_text
from quarterdeck.cli.verbs import app, load_all
from quarterdeck.model.errors import BadInput, QuarterdeckError, Unavailable


def main() -> None:
    """Run one command. Exit with 0 on success, or else with a code of docs/guide/command-line.md."""
    if (reconfigure := getattr(sys.stdout, "reconfigure", None)) is not None:
        reconfigure(errors="surrogateescape")  # names of files may hold any bytes
    try:
        check_text(sys.argv[1:], os.environ)
        with leaving.ended_by_signals():
            app(to_tokens(sys.argv[1:]))
    except CycloptsError as error:
        _end(_misread(error))
    except QuarterdeckError as error:
        _end(error)
    except (BrokenPipeError, leaving.ReaderLeft):
        sys.stderr.close()  # the reader of our output went away, as `| head` does
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(leaving.exit_code())
    except OSError as error:
        trouble = Unavailable(f"{error.filename or 'The system'}: {error.strerror or error}.")
        if isinstance(error, PermissionError):
            trouble.hint = "Ask as its owner (or root), or choose another data folder with QD_HOME."
        _end(trouble)


def _end(error: QuarterdeckError) -> NoReturn:
    output.print_error(error)
    sys.exit(error.exit_code)


def _misread(error: CycloptsError) -> BadInput:
    """Return the error of the command line as `BadInput`."""
    if isinstance(error, UnusedCliTokensError):
        more = " ".join(error.unused_tokens or ())
        return BadInput(f"'{more}' is more than this takes.", hint="Put quotes around what is one argument.")
    return BadInput(str(error))


def _with_hyphens_last(given: list[str]) -> list[str]:
    """Return the command line with "-" (standard input) and SQL that begins with a comment behind `--`."""
    if "--" in given:
        return given
    texts = [each for each in given if each == "-" or (each.startswith("--") and any(map(str.isspace, each)))]
    texts = [each for each in texts if "=" not in each.split(None, 1)[0]]  # as in --timeout="5 s"
    return [*(each for each in given if each not in texts), "--", *texts] if texts else given


def to_tokens(given: list[str]) -> list[str]:
    """Return the command line for cyclopts."""
    if given[:1] == ["run"]:
        from quarterdeck.cli import run  # noqa: PLC0415

        return run.separated(given)
    if given[:3] == ["job", "schedule", "add"]:
        from quarterdeck.cli import schedule  # noqa: PLC0415

        return schedule.separated(given)
    if given[:1] in (["query"], ["graphql"]) or given[:2] == ["service", "apply"]:
        return _with_hyphens_last(given)
    if given[:1] in ([], ["-h"], ["--help"]):
        load_all()  # the page of all verbs says what each does
    return given


if __name__ == "__main__":
    main()
