"""Every list, map and text of every message is bounded, in both directions and on both wires."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import inspect

from quarterdeck.link import frames, messages
from quarterdeck.link.frames import UnknownMessage, decode_from_agent, decode_to_agent, encode
from quarterdeck.link.limits import JOBS_LIMIT, MESSAGE_LIMIT_BYTES, SMALL_BYTES, in_messages
from quarterdeck.link.messages import JobsTaken, TelemetryBatch
from quarterdeck.model.errors import BadFrame, BadInput
from quarterdeck.model.struct import ITEMS_LIMIT, OUTPUT_LIMIT
from tests.link_types import DECODERS, PLACED, Path, decode, holding, parts, sample

_LONG = inspect.StrType | inspect.BytesType | inspect.VarTupleType | inspect.ListType | inspect.DictType
PARTS = [
    pytest.param(kind, path, found, id=f"{kind.__name__}.{'.'.join(map(str, path))}")
    for kind in DECODERS
    for path, found in parts(inspect.type_info(kind))
    if isinstance(found, _LONG)
]


def worst(found: Any) -> Any:
    """Return a value that is one larger than allowed, of the smallest parts."""
    size = found.max_length + 1
    match found:
        case inspect.StrType():
            return "x" * size
        case inspect.BytesType():
            return bytes(size)
        case inspect.DictType(value_type=value):
            return {str(index): sample(value) for index in range(size)}
        case _:
            return [sample(found.item_type)] * size


@pytest.mark.parametrize(("kind", "path", "found"), PARTS)
def test_what_has_a_length_has_a_limit(kind: type[msgspec.Struct], path: Path, found: Any) -> None:
    most = MESSAGE_LIMIT_BYTES if found.__class__ is inspect.BytesType else OUTPUT_LIMIT
    if isinstance(found, (inspect.VarTupleType, inspect.DictType)):
        most = 4 * ITEMS_LIMIT
    assert found.max_length is not None, f"{kind.__name__} has no limit at {path}: give its annotation one"
    assert found.max_length <= most


@pytest.mark.parametrize(("kind", "path", "found"), PARTS)
def test_the_worst_of_each_is_refused(kind: type[msgspec.Struct], path: Path, found: Any) -> None:
    frame = msgspec.msgpack.encode(holding(inspect.type_info(kind), path, worst(found)))
    with pytest.raises((BadFrame, BadInput)) as caught:
        decode(kind, frame)
    assert not isinstance(caught.value, UnknownMessage)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "kind", [kind for kind in DECODERS if kind not in frames._LIMITS and kind not in (TelemetryBatch, *PLACED)]
)
def test_most_kinds_are_small(kind: type[msgspec.Struct]) -> None:
    frame = msgspec.msgpack.encode(sample(inspect.type_info(kind)) | {"more": bytes(SMALL_BYTES)})
    with pytest.raises(BadFrame, match="over the limit"):
        DECODERS[kind](frame)


def test_a_large_message_of_a_newer_peer_is_passed_over() -> None:
    with pytest.raises(UnknownMessage):
        decode_from_agent(msgspec.msgpack.encode({"type": "news", "body": bytes(2 * SMALL_BYTES)}))


def test_what_is_more_goes_into_several_messages() -> None:
    ids = [str(number) for number in range(2 * JOBS_LIMIT + 1)]
    sent = list(in_messages(ids))
    assert [len(each) for each in sent] == [JOBS_LIMIT, JOBS_LIMIT, 1]
    assert [each for part in sent for each in part] == ids
    for part in sent:
        assert decode_from_agent(encode(JobsTaken(ids=part))).ids == part  # type: ignore[union-attr]
        assert decode_to_agent(encode(messages.KillJobs(ids=part)))
