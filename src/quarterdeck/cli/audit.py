"""`qd audit`: the log of changes."""

from __future__ import annotations

from quarterdeck.cli.arguments import Limit, Since, connect, moment
from quarterdeck.cli.cells import Moment
from quarterdeck.cli.formats import ListOptions
from quarterdeck.cli.listing import Column, Listing
from quarterdeck.model.audit import AuditEntry

ENTRIES = Listing[AuditEntry](
    columns=(
        Column("time", lambda e: Moment(e.time)),
        Column("who", lambda e: e.actor),
        Column("role", lambda e: e.role, rank=2),
        Column("action", lambda e: e.action),
        Column("target", lambda e: e.target),
        Column("result", lambda e: e.result, rank=1),
        Column("detail", lambda e: e.detail, rank=3),
    ),
    name=lambda e: str(e.id),
    empty="Nothing was changed yet.",
)


def audit(*, since: Since = None, limit: Limit = 50, how: ListOptions = ListOptions()) -> None:
    """List the changes that were asked for through the API: when, by whom, of what, and what came of it."""
    after = None if since is None else moment(since, utc=how.utc)
    with connect() as client:
        ENTRIES.print(lambda: client.audit.list(since=after, limit=limit), how)
