"""Any bytes on the link are a message or a BadFrame, never another error; so are join tokens and spilled files."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.agent.spill import DamagedSegment, SpillFolder
from quarterdeck.link.frames import (
    decode_from_agent,
    decode_join_reply,
    decode_join_request,
    decode_telemetry_ack,
    decode_telemetry_batch,
    decode_to_agent,
    encode,
)
from quarterdeck.link.join_tokens import PREFIX, parse
from quarterdeck.link.messages import TelemetryBatch
from quarterdeck.model.errors import BadFrame, BadInput
from quarterdeck.model.losses import Loss, LossReason

DECODERS: list[Callable[[bytes], msgspec.Struct]] = [
    decode_from_agent,
    decode_to_agent,
    decode_join_request,
    decode_join_reply,
    decode_telemetry_batch,
    decode_telemetry_ack,
]
KINDS = [
    "hello",
    "heartbeat",
    "facts",
    "instances",
    "stats",
    "want",
    "file_offer",
    "file_chunk",
    "want_file",
    "file_stored",
    "renew",
    "welcome",
    "desired",
    "artefact",
    "refused",
    "ask_messages",
    "stop_asking",
    "messages_found",
]
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)
near_messages = st.builds(
    lambda kind, rest: msgspec.msgpack.encode({"type": kind, **rest}),
    st.sampled_from(KINDS) | st.text(),
    st.dictionaries(
        st.sampled_from(
            ["protocol", "facts", "sent_at", "desired", "sha256", "seqs", "code", "number", "filter", "wait_s", "page"]
        ),
        values,
    ),
)


@pytest.mark.parametrize("decode", DECODERS)
@given(frame=st.binary() | values.map(msgspec.msgpack.encode) | near_messages)
def test_any_bytes_are_a_message_or_a_bad_frame(decode: Callable[[bytes], msgspec.Struct], frame: bytes) -> None:
    with suppress(BadFrame):
        decode(frame)


@pytest.mark.parametrize("decode", DECODERS)
def test_deep_nesting_is_a_bad_frame(decode: Callable[[bytes], msgspec.Struct]) -> None:
    with pytest.raises(BadFrame):
        decode(b"\x91" * 100_000)
    with pytest.raises(BadFrame):
        decode(msgspec.msgpack.encode({"type": "hello"})[:-6] + b"\xa1x" + b"\x91" * 100_000)


@given(text=st.text() | st.text("0123456789ABCDEFabcdef", min_size=57, max_size=57).map(PREFIX.__add__))
def test_any_text_is_a_token_or_bad_input(text: str) -> None:
    with suppress(BadInput):
        parse(text)


BATCHES = [
    TelemetryBatch(epoch="e", seq=1, floor=0, table="a", fingerprint="f", rows=3, body=b"x" * 50, module="m"),
    TelemetryBatch(
        epoch="e",
        seq=2,
        floor=0,
        table="b",
        fingerprint="f",
        rows=4,
        body=b"y" * 50,
        losses=(Loss(table="b", reason=LossReason.TRAP, rows=5),),
    ),
]


@settings(max_examples=300, deadline=None)
@given(place=st.integers(0, 10_000), bit=st.integers(0, 7), cut=st.none() | st.integers(0, 10_000))
def test_a_rotten_segment_is_read_right_or_its_rows_are_counted(place: int, bit: int, cut: int | None) -> None:
    with TemporaryDirectory() as folder:
        spill = SpillFolder(Path(folder))
        segment = spill.write(BATCHES)
        content = bytearray(Path(segment.path).read_bytes())
        content[place % len(content)] ^= 1 << bit
        Path(segment.path).write_bytes(content[: None if cut is None else cut % len(content)])
        try:
            assert [encode(batch) for batch in spill.read(segment)] == [encode(batch) for batch in BATCHES]
        except DamagedSegment as damage:
            lost = sum(loss.rows for loss in damage.losses if loss.reason is LossReason.CORRUPT)
            assert lost == 7
