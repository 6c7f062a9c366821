"""`qd`: the command line. Names the verbs, and turns every error into words and an exit code."""

from __future__ import annotations

import sys

from cyclopts import App, Parameter

from quarterdeck import __version__
from quarterdeck.cli import (
    audit,
    doctor,
    file,
    job,
    logs,
    module,
    node,
    output,
    run,
    serve,
    service,
    settings,
    table,
    token,
    up,
)
from quarterdeck.model.errors import QuarterdeckError, Unavailable

app = App(
    name="qd",
    help="Run things on nodes and see what they do: one agent on each host, one server that knows them all.",
    version=__version__,
    help_format="plaintext",
    default_parameter=Parameter(
        negative=(), show_default=lambda value: value if value not in ((), "", False) else None
    ),
)
for command in (up.up, up.down, up.status, serve.server, serve.agent, table.query, table.tables, table.tail):
    app.command(command)
app.command(logs.logs)
app.command(audit.audit)
app.command(doctor.doctor)
for noun in (run.app, node.app, job.app, file.app, service.app, module.app, token.app, settings.app):
    app.command(noun)


def main() -> None:
    """Runs one command. Exit code 0 is success; otherwise that of the error (docs/reference/errors.md)."""
    try:
        app(run.separated(sys.argv[1:]))
    except QuarterdeckError as error:
        output.print_error(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output went away, as `| head` does
        sys.exit(0)
    except OSError as error:
        trouble = Unavailable(f"{error.filename or 'The system'}: {error.strerror or error}.")
        if isinstance(error, PermissionError):
            trouble.hint = "Ask as its owner (or root), or choose another data folder with QD_HOME."
        output.print_error(trouble)
        sys.exit(trouble.exit_code)


if __name__ == "__main__":
    main()
