"""`qd audit`: who changed what."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from quarterdeck.cli import output
from quarterdeck.cli.arguments import Json, connect


def audit(
    *, limit: Annotated[int, Parameter(help="How many entries, the newest first.")] = 50, json: Json = False
) -> None:
    """List the changes that were asked for through the API: when, by whom, of what, and what came of it."""
    with connect() as client:
        entries = client.list_audit(limit=limit)
    output.show(
        entries,
        {
            "time": lambda e: output.moment(e.time),
            "who": lambda e: e.actor,
            "role": lambda e: e.role,
            "action": lambda e: e.action,
            "target": lambda e: e.target,
            "result": lambda e: e.result,
            "detail": lambda e: e.detail,
        },
        json=json,
        empty="Nothing was changed yet.",
    )
