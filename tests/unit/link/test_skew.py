"""Two releases work together: a thing that only the newer one knows affects nothing else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import inspect

from quarterdeck.link.frames import decode_telemetry_batch, decode_to_agent
from quarterdeck.link.messages import Desired, TelemetryBatch
from quarterdeck.model.errors import BadFrame, BadInput
from quarterdeck.model.losses import LossReason
from quarterdeck.model.services import DesiredService
from quarterdeck.model.struct import WORD_LIMIT
from tests.link_types import DECODERS, Path, decode, holding, parts, sample

NEWER = "of_a_newer_release"


def places(of: type[Any]) -> list[Any]:
    return [
        pytest.param(kind, path, found, id=f"{kind.__name__}.{'.'.join(map(str, path))}")
        for kind in DECODERS
        for path, found in parts(inspect.type_info(kind))
        if isinstance(found, of)
    ]


@pytest.mark.parametrize(("kind", "path", "found"), places(inspect.EnumType))
def test_a_value_that_is_not_known_cuts_nobody_off(kind: type[msgspec.Struct], path: Path, found: Any) -> None:
    frame = msgspec.msgpack.encode(holding(inspect.type_info(kind), path, NEWER))
    message = DECODERS[kind](frame)
    if "build" in path:
        with pytest.raises(BadInput, match="the same release"):
            _ = message.build
        assert (message.name, message.digest) == ("", "")
        return
    value: Any = message
    for name in path:
        value = value[name] if isinstance(name, int) else getattr(value, name)
    assert (value, type(value), value.known) == (NEWER, found.cls, False)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(message)) == msgspec.msgpack.decode(frame)


@pytest.mark.parametrize(("kind", "path", "found"), places(inspect.StructType))
def test_a_key_that_is_not_known_is_passed_over(kind: type[msgspec.Struct], path: Path, found: Any) -> None:
    decode(kind, msgspec.msgpack.encode(holding(inspect.type_info(kind), path, sample(found) | {NEWER: [1]})))


def test_a_service_of_a_newer_server_is_its_own_failure() -> None:
    frame = msgspec.msgpack.encode(holding(inspect.type_info(DesiredService), ("settings",), {NEWER: 1}))
    service: Any = DECODERS[DesiredService](frame)
    with pytest.raises(BadInput, match=NEWER):
        service.read()


def test_a_kind_of_a_newer_server_is_carried_and_a_set_without_placements_is_none() -> None:
    path: Path = ("desired", "placements", "value")
    frame = msgspec.msgpack.encode(holding(inspect.type_info(Desired), path, [{NEWER: 1}]))
    message: Any = decode_to_agent(frame)
    assert list(message.desired.placements) == [""]
    with pytest.raises(BadFrame):
        decode_to_agent(msgspec.msgpack.encode({"type": "desired", "desired": {"revision": 1, "instances": []}}))


@pytest.mark.parametrize("reason", ["", "x" * (WORD_LIMIT + 1), 7, None, ["evicted"]])
def test_a_value_of_an_enum_that_is_no_short_text_is_a_bad_frame(reason: object) -> None:
    path: Path = ("losses", 0, "reason")
    with pytest.raises(BadFrame):
        decode_telemetry_batch(msgspec.msgpack.encode(holding(inspect.type_info(TelemetryBatch), path, reason)))


def test_values_that_are_known_are_the_members() -> None:
    assert LossReason("evicted") is LossReason.EVICTED
    assert LossReason.EVICTED.known
    assert LossReason("news") == LossReason("news") != LossReason("other news")
    assert {LossReason("news"): 1}[LossReason("news")] == 1
