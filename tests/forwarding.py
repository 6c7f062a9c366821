"""Batches of messages as a node forwards them."""

from __future__ import annotations

from quarterdeck.agent.messages.forward import columns
from quarterdeck.agent.messages.runs import Run
from quarterdeck.columns.arrow import encode
from quarterdeck.link.messages import TelemetryBatch
from quarterdeck.model.messages import MESSAGES_TABLE
from tests.telemetry import batch


def forwarded(run: Run, *, seq: int) -> TelemetryBatch:
    """The batch that has these messages."""
    return batch(encode(columns([run])), len(run), seq=seq, table=MESSAGES_TABLE)
