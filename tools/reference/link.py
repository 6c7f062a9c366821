"""link.md: the messages between agent and server."""

from __future__ import annotations

from typing import get_args

import msgspec

from quarterdeck.link import limits, messages
from quarterdeck.model.desired import DesiredSet
from quarterdeck.model.modules import (
    Build,
    DesiredInstance,
    Field,
    InstanceStats,
    InstanceStatus,
    Setting,
    TableSource,
)
from quarterdeck.model.nodes import Facts
from quarterdeck.model.services import DesiredService, ServiceStatus
from quarterdeck.model.struct import ITEMS_LIMIT
from tools.reference.markdown import code, struct, summary

_INTRODUCTION = f"""# The link

Messages are msgpack maps on all wires. In the two control streams, the key `type` of each message contains its kind.
Unknown keys and unknown kinds are ignored; keys that have their default value are omitted. Any other bytes are a
[`bad_frame`](errors.md#bad_frame) and end the stream. The version of the protocol is {messages.PROTOCOL_VERSION}. A
message has at most {limits.MESSAGE_LIMIT_BYTES >> 20} MiB, and most kinds at most {limits.SMALL_BYTES >> 20} MiB. A
message concerns at most {limits.JOBS_LIMIT} jobs, and any other list or map has at most {ITEMS_LIMIT} items.
"""
_JOINING = (messages.JoinRequest, messages.JoinReply)
_TELEMETRY = (messages.TelemetryBatch, messages.TelemetryAck)
_PARTS = (
    Facts,
    DesiredSet,
    DesiredInstance,
    Build,
    TableSource,
    Field,
    Setting,
    InstanceStatus,
    InstanceStats,
    DesiredService,
    ServiceStatus,
)


def page() -> str:
    """Return the page."""
    chapters: dict[str, tuple[type[msgspec.Struct], ...]] = {
        "Joining: one call, with a join token": _JOINING,
        "Control: from the agent": get_args(messages.FromAgent),
        "Control: from the server": get_args(messages.ToAgent),
        "Telemetry: batches and acknowledgements": _TELEMETRY,
        "Parts of messages": _PARTS,
    }
    parts = [_INTRODUCTION]
    for title, kinds in chapters.items():
        parts.append(f"## {title}\n")
        parts += [_message(kind) for kind in kinds]
    return "\n".join(parts)


def _message(kind: type[msgspec.Struct]) -> str:
    tag = kind.__struct_config__.tag
    name = f"{kind.__name__} ({code(tag)})" if tag else kind.__name__
    return f"### {name}\n\n{summary(kind)}\n\n{struct(kind)}"
