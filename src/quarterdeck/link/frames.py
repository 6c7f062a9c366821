"""Messages as bytes and back: msgpack by msgspec, checked when decoded, and limited in size by their kind.

A message from a newer peer may have keys that this side does not know, which are ignored, or an unknown kind, which is
an `UnknownMessage` that does not end the stream. Any other bytes are a `BadFrame`, which ends it. It never does I/O.
"""

from __future__ import annotations

from typing import Any, TypeVar, get_args

import msgspec

from quarterdeck.link.limits import ARTEFACT_CHUNK_BYTES, MESSAGE_LIMIT_BYTES, SMALL_BYTES
from quarterdeck.link.messages import (
    ArtefactChunk,
    Desired,
    FileChunk,
    FromAgent,
    JobOffers,
    JobResults,
    JoinReply,
    JoinRequest,
    MessagesFound,
    PlacementReport,
    StatsReport,
    TelemetryAck,
    TelemetryBatch,
    ToAgent,
)
from quarterdeck.model.errors import BadFrame
from quarterdeck.model.struct import Wire


class UnknownMessage(BadFrame):
    """A message of a kind that this side does not know, because the peer is newer. It is ignored."""


class _AnyMessage(Wire, frozen=True, kw_only=True):
    type: str


_REPORT_BYTES = 16 * 1024 * 1024
_CHUNK_BYTES = ARTEFACT_CHUNK_BYTES + 64 * 1024
_LIMITS: dict[Any, int] = {
    **dict.fromkeys((PlacementReport, StatsReport), _REPORT_BYTES),
    **dict.fromkeys((FileChunk, ArtefactChunk), _CHUNK_BYTES),
    **dict.fromkeys((JobResults, MessagesFound, Desired, JobOffers), MESSAGE_LIMIT_BYTES),
}
_encoder = msgspec.msgpack.Encoder()
_from_agent: msgspec.msgpack.Decoder[FromAgent] = msgspec.msgpack.Decoder(FromAgent)
_to_agent: msgspec.msgpack.Decoder[ToAgent] = msgspec.msgpack.Decoder(ToAgent)
_any_message = msgspec.msgpack.Decoder(_AnyMessage)
_KINDS = {str(kind.__struct_config__.tag): kind for kind in (*get_args(FromAgent), *get_args(ToAgent))}
_join_request = msgspec.msgpack.Decoder(JoinRequest)
_join_reply = msgspec.msgpack.Decoder(JoinReply)
_telemetry_batch = msgspec.msgpack.Decoder(TelemetryBatch)
_telemetry_ack = msgspec.msgpack.Decoder(TelemetryAck)
_T = TypeVar("_T")


def encode(message: msgspec.Struct) -> bytes:
    """Encode any message as msgpack."""
    return _encoder.encode(message)


def _decode(decoder: msgspec.msgpack.Decoder[_T], frame: bytes, what: str, limit_bytes: int | None = None) -> _T:
    """Decode a message, or raise `BadFrame`. Without `limit_bytes` the limit of its kind applies."""
    limit = SMALL_BYTES if len(frame) <= SMALL_BYTES else limit_bytes or _limit(frame)
    if len(frame) > limit:
        raise BadFrame(f"A {what} of {len(frame)} bytes is over the limit of {limit} of its kind.")
    try:
        return decoder.decode(frame)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        kind = _kind(frame)
        if kind and kind not in _KINDS:
            raise UnknownMessage(f"Expected a {what}, found one of the unknown kind '{kind[:64]}'.") from error
        raise BadFrame(f"Expected a {what}, found {len(frame)} bytes that are not one: {error!s:.500}.") from error


def _limit(frame: bytes) -> int:
    kind = _kind(frame)
    if kind and kind not in _KINDS:
        return MESSAGE_LIMIT_BYTES  # from a newer peer: it is ignored
    return _LIMITS.get(_KINDS.get(kind), SMALL_BYTES)


def _kind(frame: bytes) -> str:
    """Return the kind that the frame names, without decoding the rest."""
    if len(frame) > MESSAGE_LIMIT_BYTES:
        return ""
    try:
        return _any_message.decode(frame).type
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return ""


def decode_from_agent(frame: bytes) -> FromAgent:
    """Decode a control message from an agent, or raise `BadFrame`."""
    return _decode(_from_agent, frame, "message from an agent")


def decode_to_agent(frame: bytes) -> ToAgent:
    """Decode a control message from the server, or raise `BadFrame`."""
    return _decode(_to_agent, frame, "message from the server")


def decode_join_request(frame: bytes) -> JoinRequest:
    """Decode a request to join, or raise `BadFrame`."""
    return _decode(_join_request, frame, "join request", SMALL_BYTES)


def decode_join_reply(frame: bytes) -> JoinReply:
    """Decode the answer to a request to join, or raise `BadFrame`."""
    return _decode(_join_reply, frame, "join reply", SMALL_BYTES)


def decode_telemetry_batch(frame: bytes) -> TelemetryBatch:
    """Decode a batch from an agent, or raise `BadFrame`."""
    return _decode(_telemetry_batch, frame, "telemetry batch", MESSAGE_LIMIT_BYTES)


def decode_telemetry_ack(frame: bytes) -> TelemetryAck:
    """Decode an acknowledgement from the server, or raise `BadFrame`."""
    return _decode(_telemetry_ack, frame, "telemetry acknowledgement", SMALL_BYTES)
