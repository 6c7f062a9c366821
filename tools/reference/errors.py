"""errors.md: the tree of errors with their codes."""

from __future__ import annotations

from collections.abc import Iterator

from quarterdeck.model import errors
from quarterdeck.model.errors import Problem, QuarterdeckError
from tools.reference.markdown import code, struct, summary, table

_INTRODUCTION = """# Errors

Every error that a user can receive has a stable code. The API answers with a problem document (RFC 9457, media type
`application/problem+json`) that contains the code, `qd` ends with the error's exit code, and the Python client raises
the error's class, from `quarterdeck.model.errors`. To catch a group of errors, catch their common class.
"""


def page() -> str:
    """Return the page."""
    rows = [
        (
            f'<a id="{kind.code}"></a>{code(kind.code)}',
            name,
            kind.http_status,
            kind.grpc_status,
            kind.exit_code,
            summary(kind),
        )
        for name, kind in _walk(QuarterdeckError)
    ]
    heading = ("code", "class", "HTTP", "gRPC", "exit", "default message")
    return "\n".join([_INTRODUCTION, table(heading, rows), "## The problem document\n", struct(Problem)])


def _walk(kind: type[QuarterdeckError], depth: int = 0) -> Iterator[tuple[str, type[QuarterdeckError]]]:
    yield "&nbsp;&nbsp;" * depth + code(kind.__name__), kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _walk(child, depth + 1)
