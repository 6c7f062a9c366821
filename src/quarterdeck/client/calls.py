"""Requests of the API as values: method, path, body and type of the answer; and the errors of answers.

The sync and the async client send the same calls. It depends on no noun: each namespace creates its own calls.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec

from quarterdeck.model.errors import Problem, QuarterdeckError, Unavailable, from_problem
from quarterdeck.model.nodes import Selector

T = TypeVar("T")
PREFIX = "/api/v1"
#: values of a query string
QueryValues = dict[str, str | tuple[str, ...]]


class Call(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One request. `returns` is the type of the JSON answer; `bytes` returns the body unchanged, `None` ignores it."""

    method: str
    path: str
    returns: Any
    body: bytes = b""
    query: QueryValues = {}
    timeout_s: float = 60.0
    content_type: str = "application/json"

    def headers(self, token: str) -> dict[str, str]:
        """Return the request's headers, including the token."""
        return {"Authorization": f"Bearer {token}", "Content-Type": self.content_type}

    def answer(self, status: int, body: bytes) -> T:
        """Return the decoded answer, or raise the error of the problem document."""
        if status >= 400:
            raise failure(status, body)
        if self.returns is None:
            return None  # type: ignore[return-value]
        return body if self.returns is bytes else msgspec.json.decode(body, type=self.returns)  # type: ignore[return-value]


def get(path: str, returns: type[T], **query: str | tuple[str, ...] | None) -> Call[T]:
    """Return a call that reads; parameters that are None are left out."""
    return Call(method="GET", path=PREFIX + path, returns=returns, query=given(**query))


def post(
    path: str, returns: type[T], body: object = None, *, timeout_s: float = 60.0, query: QueryValues | None = None
) -> Call[T]:
    """Return a call that creates or triggers something."""
    data = _encoded(body)
    return Call(method="POST", path=PREFIX + path, returns=returns, body=data, query=query or {}, timeout_s=timeout_s)


def put(path: str, returns: type[T], body: object) -> Call[T]:
    """Return a call that sets something."""
    return Call(method="PUT", path=PREFIX + path, returns=returns, body=_encoded(body))


def patch(path: str, returns: type[T], body: object) -> Call[T]:
    """Return a call that changes part of something."""
    return Call(method="PATCH", path=PREFIX + path, returns=returns, body=_encoded(body))


def delete(path: str) -> Call[None]:
    """Return a call that removes something."""
    return Call(method="DELETE", path=PREFIX + path, returns=None)


def given(**query: str | tuple[str, ...] | None) -> QueryValues:
    """Return the parameters that are not None."""
    return {key: value for key, value in query.items() if value is not None}


def selecting(selector: Selector) -> QueryValues:
    """Return the parameters that choose the nodes of a selector."""
    labels = tuple(f"{key}={value}" for key, value in selector.labels.items())
    return given(node=selector.nodes or None, on=labels or None, role=selector.roles or None, gid=number(selector.gid))


def number(value: float | None) -> str | None:
    """Return a number as a parameter."""
    return None if value is None else str(value)


def segment(name: str) -> str:
    """Return a name as one part of a path, with all special characters quoted."""
    return quote(name, safe="")


def failure(status: int, body: bytes) -> QuarterdeckError:
    """Return the error of an answer. A body that is not a problem document (of a proxy) is quoted."""
    try:
        return from_problem(msgspec.json.decode(body, type=Problem))
    except msgspec.MsgspecError:
        return Unavailable(f"The server answered HTTP {status}: {body[:200].decode(errors='replace')}")


def unreachable(url: str, error: Exception) -> Unavailable:
    """Return the error for a server that does not answer."""
    return Unavailable(
        f"No server answers at {url}: {str(error).rstrip('.')}.",
        hint="Start one with `qd up`, or set its address in QD_HTTP.",
    )


def _encoded(body: object) -> bytes:
    return b"" if body is None else msgspec.json.encode(body)
