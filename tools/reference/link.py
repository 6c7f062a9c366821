"""link.md: what agent and server say to each other."""

from __future__ import annotations

from typing import get_args

import msgspec

from quarterdeck.link import messages
from quarterdeck.model.desired import DesiredSet
from quarterdeck.model.modules import Build, Field, InstanceStats, InstanceStatus, Setting, TableSource
from quarterdeck.model.nodes import Facts
from tools.reference.markdown import code, struct, summary

_INTRODUCTION = f"""# The link

Messages are msgpack maps, over any wire. In the two control streams each carries its kind in `type`. A key that a peer
does not know is passed over, and so is a kind it does not know; keys with their default are left out. Any other bytes
are a [`bad_frame`](errors.md#bad_frame) and end the stream. The protocol's version is {messages.PROTOCOL_VERSION}; a
message has at most {messages.MESSAGE_LIMIT_BYTES >> 20} MiB.
"""
_JOINING = (messages.JoinRequest, messages.JoinReply)
_TELEMETRY = (messages.TelemetryBatch, messages.TelemetryAck)
_PARTS = (Facts, DesiredSet, Build, TableSource, Field, Setting, InstanceStatus, InstanceStats)


def page() -> str:
    """The page."""
    chapters: dict[str, tuple[type[msgspec.Struct], ...]] = {
        "Joining: one call, with a join token": _JOINING,
        "Control: from the agent": get_args(messages.FromAgent),
        "Control: from the server": get_args(messages.ToAgent),
        "Telemetry: batches up, acknowledgements down": _TELEMETRY,
        "What messages are made of": _PARTS,
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
