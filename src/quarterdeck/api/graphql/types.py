"""GraphQL types made from the structs of the model: objects for answers, inputs for arguments.

A struct's name, docstring and fields become those of its type, so a noun has no second definition. The values stay the
structs themselves, and enums have the values that the JSON of the REST API has. This module never resolves a field.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping, Sequence
from enum import Enum, StrEnum
from typing import Any, NewType, Union, cast, get_args, get_origin, get_type_hints

import msgspec
import strawberry
from graphql import GraphQLError
from strawberry.scalars import JSON
from strawberry.types.scalar import ScalarDefinition

from quarterdeck.model.errors import BadInput
from quarterdeck.model.struct import WireEnum

#: an integer of 64 bits; GraphQL's `Int` has 32
BigInt = NewType("BigInt", int)
#: the strawberry field's metadata that names how its values are found for many parents at once
JOIN = "join"
_SIMPLE: dict[Any, Any] = {str: str, bool: bool, float: float, int: BigInt, bytes: str}
Annotation = Any


def _parse_integer(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**64:
        return value
    raise GraphQLError(f"BigInt is an integer of 64 bits, not {value!r:.100}.")


SCALARS: Mapping[object, ScalarDefinition] = {
    BigInt: strawberry.scalar(
        name="BigInt",
        description="An integer of up to 64 bits, written as a JSON number.",
        serialize=int,
        parse_value=_parse_integer,
    )
}


class Types:
    """Makes each type once. `joins` are further fields of objects: their annotation and strawberry field by name."""

    def __init__(self, joins: Mapping[type, Mapping[str, tuple[Annotation, Any]]]) -> None:
        self._joins = joins
        self._objects: dict[type, type] = {}
        self._inputs: dict[type, type] = {}
        self._enums: dict[type, type] = {}

    def of_answer(self, annotation: Annotation) -> Annotation:
        """Return the annotation that strawberry takes for a value of this Python type."""
        return self._convert(annotation, self._object)

    def of_argument(self, annotation: Annotation) -> Annotation:
        """Return the annotation that strawberry takes for an argument of this Python type."""
        return self._convert(annotation, self._input)

    def _convert(self, annotation: Annotation, of_struct: Any) -> Annotation:
        origin, args = get_origin(annotation), get_args(annotation)
        if hasattr(annotation, "__metadata__"):  # Annotated
            annotation = args[0]
            origin, args = get_origin(annotation), get_args(annotation)
        if annotation in _SIMPLE:
            return _SIMPLE[annotation]
        if origin in (Union, types.UnionType):
            given = [each for each in args if each is not type(None)]
            kind = self._convert(given[0], of_struct) if len(given) == 1 else JSON
            return kind | None if len(given) < len(args) else kind
        if origin in (list, tuple, Sequence):
            return list[self._convert(args[0], of_struct)]
        if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
            return of_struct(annotation)
        if isinstance(annotation, type) and issubclass(annotation, Enum):
            return self._enum(annotation)
        return JSON | None if annotation in (Any, object) else JSON

    def _enum(self, kind: type[Enum]) -> Annotation:
        """Return the enum of these values. A `WireEnum` may have values that only a newer peer knows: text."""
        if issubclass(kind, WireEnum):
            return str
        if not issubclass(kind, StrEnum):
            return BigInt
        if kind not in self._enums:
            values: Any = StrEnum(kind.__name__, {str(member): str(member) for member in kind})
            self._enums[kind] = strawberry.enum(values, description=_summary(kind))
        return self._enums[kind]

    def _object(self, struct: type[msgspec.Struct]) -> type:
        return self._make(struct, self._objects, of_input=False)

    def _input(self, struct: type[msgspec.Struct]) -> type:
        return self._make(struct, self._inputs, of_input=True)

    def _make(self, struct: type[msgspec.Struct], made: dict[type, type], *, of_input: bool) -> type:
        if struct in made:
            return made[struct]
        name = f"{struct.__name__}Input" if of_input else struct.__name__
        names = dict(zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True))
        body: dict[str, Any] = {"__annotations__": {}, "__module__": __name__, "encoded_names": names}
        made[struct] = cls = type(name, (), body)  # known before its fields, which may lead back to it
        convert = self.of_argument if of_input else self.of_answer
        hints = get_type_hints(struct)
        for field in msgspec.structs.fields(struct):
            kind = convert(hints[field.name])
            cls.__annotations__[field.name] = kind
            renamed = camel(field.encode_name) if field.encode_name != field.name else None
            if of_input and not field.required:
                cls.__annotations__[field.name] = kind | None
                setattr(cls, field.name, strawberry.field(name=renamed, default=strawberry.UNSET))
            elif renamed:
                setattr(cls, field.name, strawberry.field(name=renamed))
        for key, (annotation, field) in () if of_input else self._joins.get(struct, {}).items():
            cls.__annotations__[key] = self.of_answer(annotation)
            setattr(cls, key, field)
        decorate: Any = strawberry.input if of_input else strawberry.type
        return decorate(cls, name=name, description=_summary(struct))


def to_struct(value: object, kind: Annotation) -> Any:
    """Return an argument as a value of the Python type. Raise `BadInput` when it is none."""
    try:
        return msgspec.convert(_to_builtins(value), kind)
    except msgspec.ValidationError as error:
        raise BadInput(f"{error}.") from error


def _to_builtins(value: Any) -> Any:
    """Return inputs as dictionaries without the fields that were not given."""
    if isinstance(value, list):
        return [_to_builtins(each) for each in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, Enum):
        return value.value
    names: dict[str, str] | None = getattr(cast("object", value), "encoded_names", None)
    if names is not None:
        given = {key: getattr(value, name) for name, key in names.items()}
        return {key: _to_builtins(each) for key, each in given.items() if each is not strawberry.UNSET}
    return value


def camel(name: str) -> str:
    """Return a name of Python as GraphQL writes it: `node_name` as `nodeName`."""
    first, *others = name.strip("_").split("_")
    return first + "".join(word.capitalize() for word in others)


def _summary(kind: type) -> str:
    return (inspect.getdoc(kind) or "").partition("\n\n")[0].replace("\n", " ")
