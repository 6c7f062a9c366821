"""Rows that were lost lately, of the whole fleet or of one node."""

from __future__ import annotations

import msgspec

from quarterdeck.api.mcp.why.findings import Finding, Question
from quarterdeck.model.errors import QuarterdeckError
from quarterdeck.model.nodes import NodeKey
from quarterdeck.model.queries import Answer, Query

#: tables and reasons that are shown
ROWS = 20
_SQL = (
    "SELECT table, reason, sum(rows) AS lost, uniqExact(gid, nid) AS nodes, toString(max(time)) AS last FROM losses"
    " WHERE time > now() - INTERVAL 1 HOUR AND ({every:Bool} OR (gid = {gid:UInt32} AND nid = {nid:UInt32}))"
    " GROUP BY table, reason ORDER BY lost DESC"
)


async def gather(question: Question, key: NodeKey | None = None) -> tuple[list[Finding], list[str]]:
    """Return the losses of the last hour by table and reason, and why they cannot be read if so."""
    gid, nid = key or (0, 0)
    query = Query(sql=_SQL, parameters={"every": key is None, "gid": gid, "nid": nid}, max_rows=ROWS, timeout_s=10.0)
    try:
        reply = await question.backend.queries.run(query, question.token)
    except QuarterdeckError as error:
        return [], [f"Losses cannot be read: {error}"]
    answer = msgspec.json.decode(b"".join(reply.parts), type=Answer)
    return [_finding(*row) for row in answer.rows], []


def _finding(table: object, reason: object, lost: object, nodes: object, last: object) -> Finding:
    return Finding(
        kind="losses",
        name=str(table),
        well=False,
        state=str(reason),
        reason=f"{lost} rows of {nodes} nodes were lost in the last hour.",
        since=f"last at {last} UTC",
    )
