"""The types of link messages, walked: every place in every message, and the least message with some value there."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, get_args

import msgspec
from msgspec import inspect

from quarterdeck.link import frames, messages
from quarterdeck.link.messages import JoinReply, JoinRequest, TelemetryAck, TelemetryBatch
from quarterdeck.model.desired import DesiredSet
from quarterdeck.model.errors import BadFrame
from quarterdeck.model.modules import Build, DesiredInstance, InstanceStatus
from quarterdeck.model.services import DesiredService, ServiceStatus


def _desired(item: type[msgspec.Struct], frame: bytes) -> msgspec.Struct:
    """Read the bytes of one thing as the agent reads a desired set."""
    return DesiredSet(revision=1, placements={"kind": (msgspec.Raw(frame),)}).read("kind", item)[0]


def _status(item: type[msgspec.Struct], frame: bytes) -> msgspec.Struct:
    """Read the bytes of one status as the server reads a report."""
    try:
        return msgspec.convert(msgspec.msgpack.decode(frame), item)
    except msgspec.ValidationError as error:
        raise BadFrame(str(error)) from error


#: what is placed, and what is reported of it: parts of messages that only their kind reads
PLACED: dict[type[msgspec.Struct], Any] = {
    **{item: partial(_desired, item) for item in (DesiredInstance, DesiredService)},
    **{item: partial(_status, item) for item in (InstanceStatus, ServiceStatus)},
}
DECODERS: dict[type[msgspec.Struct], Any] = {
    **dict.fromkeys(get_args(messages.FromAgent), frames.decode_from_agent),
    **dict.fromkeys(get_args(messages.ToAgent), frames.decode_to_agent),
    JoinRequest: frames.decode_join_request,
    JoinReply: frames.decode_join_reply,
    TelemetryBatch: frames.decode_telemetry_batch,
    TelemetryAck: frames.decode_telemetry_ack,
    **PLACED,
}
Path = tuple[str | int, ...]
BUILD = inspect.type_info(Build)  # travels in its own bytes, too


def parts(kind: inspect.Type, path: Path = ()) -> Iterator[tuple[Path, inspect.Type]]:
    """Everything in a message, and where it is."""
    yield path, kind
    match kind:
        case inspect.RawType() if path == ("build",):
            yield from parts(BUILD, path)
        case inspect.StructType(fields=fields):
            for field in fields:
                yield from parts(field.type, (*path, field.encode_name))
        case inspect.UnionType(types=types):
            for each in types:
                yield from parts(each, path)
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            yield from parts(item, (*path, 0))
        case inspect.TupleType(item_types=items):
            for index, item in enumerate(items):
                yield from parts(item, (*path, index))
        case inspect.DictType(key_type=key, value_type=value):
            yield from parts(key, (*path, "key"))
            yield from parts(value, (*path, "value"))
        case _:
            pass


def sample(kind: inspect.Type) -> Any:  # noqa: PLR0911
    """The least value of a type."""
    match kind:
        case inspect.RawType():
            return sample(BUILD)
        case inspect.StructType(cls=cls, fields=fields):
            tag = {cls.__struct_config__.tag_field: cls.__struct_config__.tag} if cls.__struct_config__.tag else {}
            return tag | {field.encode_name: sample(field.type) for field in fields if field.required}
        case inspect.UnionType(types=types):
            return None if any(isinstance(each, inspect.NoneType) for each in types) else sample(types[0])
        case inspect.EnumType(cls=cls):
            return next(iter(cls)).value
        case inspect.TupleType(item_types=items):
            return [sample(item) for item in items]
        case inspect.VarTupleType() | inspect.ListType():
            return []
        case inspect.DictType():
            return {}
        case inspect.BytesType():
            return b""
        case inspect.IntType():
            return 0
        case inspect.FloatType():
            return 0.0
        case inspect.BoolType():
            return False
        case _:
            return ""


def step(kind: inspect.Type, name: str | int) -> inspect.Type:
    """What a type has at the first step of a path: in a union, in the first of its types that has it."""
    match kind:
        case inspect.RawType():
            return step(BUILD, name)
        case inspect.UnionType(types=types):
            return step(next(each for each in types if _takes(each, name)), name)
        case inspect.StructType(fields=fields):
            return next(field.type for field in fields if field.encode_name == name)
        case inspect.TupleType(item_types=items):
            return items[int(name)]
        case inspect.VarTupleType(item_type=item):
            return item
        case inspect.DictType(key_type=key, value_type=value):
            return key if name == "key" else value
        case _:
            raise AssertionError(kind)


def holding(kind: inspect.Type, path: Path, value: Any) -> Any:  # noqa: PLR0911
    """The least value of a type in which `value` is at this path."""
    if not path:
        return value
    inner = holding(step(kind, path[0]), path[1:], value)
    match kind:
        case inspect.UnionType(types=types):
            return holding(next(each for each in types if _takes(each, path[0])), path, value)
        case inspect.RawType():
            return holding(BUILD, path, value)
        case inspect.StructType():
            return sample(kind) | {path[0]: inner}
        case inspect.TupleType(item_types=items):
            return [inner if index == path[0] else sample(item) for index, item in enumerate(items)]
        case inspect.DictType(key_type=key, value_type=of):
            return {inner: sample(of)} if path[0] == "key" else {sample(key): inner}
        case _:
            return [inner]


def _takes(kind: inspect.Type, name: str | int) -> bool:
    """Whether this one of a union's types is what a path goes on into."""
    if isinstance(kind, inspect.StructType):
        return any(field.encode_name == name for field in kind.fields)
    return isinstance(kind, inspect.VarTupleType | inspect.ListType if name == 0 else inspect.DictType)


def decode(kind: type[msgspec.Struct], frame: bytes) -> None:
    """Decode the frame as its half does, and read what is read later."""
    message = DECODERS[kind](frame)
    if isinstance(message, DesiredInstance):
        _ = message.build
