"""Execution of a selection for all objects of a level at once.

The executor of graphql-core walks each value on its own, in Python. Here a field is read from all objects of its level
in one step, and a field that joins another noun is loaded by one call for all its parents, whatever their number: there
is no query for each object. Root fields, variables, directives, fragments and introspection are graphql-core's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any, cast

import msgspec
from graphql import GraphQLEnumType, GraphQLList, GraphQLNonNull, GraphQLObjectType, get_named_type
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from quarterdeck.api.graphql.types import JOIN
from quarterdeck.model.errors import TooLarge

#: values of objects that one answer may have, those of nested fields included
VALUES_LIMIT = 1_000_000
#: bytes of its texts and JSON values
BYTES_LIMIT = 128 * 1024 * 1024
#: how often one field of an object may be selected, under different aliases
ALIASES_LIMIT = 10
_named_type: Callable[[Any], Any] = get_named_type
#: leaves of a few bytes
_SMALL = frozenset({"BigInt", "Boolean", "Float"})
#: returns the value of a joined field for each of the parents
Join = Callable[[Any, Sequence[Any]], Awaitable[Sequence[Any]]]


class LevelExecutor(StrawberryGraphQLCoreExecutionContext):
    """Completes values of object types by level, within limits of the answer's values and bytes."""

    values_limit = VALUES_LIMIT
    bytes_limit = BYTES_LIMIT
    _values = _bytes = 0

    def complete_value(  # noqa: PLR0917 (the signature of the base class)
        self, return_type: Any, field_details_list: Any, info: Any, path: Any, result: Any, position_context: Any
    ) -> Any:
        """Return the value of a root field, or an awaitable of it."""
        named: Any = _named_type(return_type)
        plain = not isinstance(named, GraphQLObjectType) or named.name.startswith("__")
        if plain or result is None or isinstance(result, Exception):
            inherited: Any = super()
            return inherited.complete_value(return_type, field_details_list, info, path, result, position_context)
        return self._complete_one(return_type, field_details_list, result)

    async def _complete_one(self, kind: Any, details: Any, value: Any) -> Any:
        return (await self._complete(kind, details, [value]))[0]

    async def _complete(self, kind: Any, details: Any, values: Sequence[Any]) -> Sequence[Any]:
        """Return the completed values of one field of many parents."""
        if isinstance(kind, GraphQLNonNull):
            kind = cast("Any", kind).of_type
        named: Any = _named_type(kind)
        if not isinstance(named, GraphQLObjectType):
            small = isinstance(named, GraphQLEnumType) or named.name in _SMALL
            return values if small and not isinstance(kind, GraphQLList) else self._sized(values)
        if isinstance(kind, GraphQLList):
            inner = cast("Any", kind).of_type
            flat = [each for value in values if value is not None for each in value]
            done = iter(await self._complete(inner, details, flat))
            return [None if value is None else list(islice(done, len(value))) for value in values]
        present = [value for value in values if value is not None]
        rows = await self._level(kind, details, present)
        if len(present) == len(values):
            return rows
        done = iter(rows)
        return [None if value is None else next(done) for value in values]

    async def _level(self, kind: GraphQLObjectType, details: Any, objects: Sequence[Any]) -> list[dict[str, Any]]:
        fields = self.collect_subfields(kind, details).grouped_field_set
        if not fields:  # all are skipped by a directive
            return [{} for _ in objects]
        self._values += len(objects) * len(fields)
        if self._values > self.values_limit:
            raise _too_large(f"{self.values_limit} values")
        name, times = Counter(each[0].node.name.value for each in fields.values()).most_common(1)[0]
        if times > ALIASES_LIMIT:
            raise TooLarge(
                f"A field can be selected {ALIASES_LIMIT} times at one place; '{name}' is there {times} times."
            )
        columns = [await self._column(kind, field, objects) for field in fields.values()]
        keys = tuple(fields)
        return [dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True)]

    async def _column(self, kind: GraphQLObjectType, details: Any, objects: Sequence[Any]) -> Sequence[Any]:
        """Return the values of one field of these objects."""
        name = details[0].node.name.value
        if name == "__typename":
            return [kind.name] * len(objects)
        field = kind.fields[name]
        declared = field.extensions["strawberry-definition"]
        join: Join | None = declared.metadata.get(JOIN)
        if join is None:
            values: Sequence[Any] = list(map(attrgetter(declared.python_name), objects))
        else:
            values = await join(self.context_value, objects) if objects else ()
        return await self._complete(field.type, details, values)

    def _sized(self, values: Sequence[Any]) -> Sequence[Any]:
        """Return texts as they are, and other values encoded. Count their bytes, which aliases can multiply."""
        sized = [
            each if each is None or isinstance(each, str | bytes) else msgspec.json.encode(each) for each in values
        ]
        self._bytes += sum(len(each) for each in sized if each is not None)
        if self._bytes > self.bytes_limit:
            raise _too_large(f"{self.bytes_limit} bytes")
        return [
            each if size is each or size is None else msgspec.Raw(size)
            for each, size in zip(values, sized, strict=True)
        ]


def _too_large(what: str) -> TooLarge:
    return TooLarge(
        f"The answer would have more than {what}.", hint="Ask for fewer entries with `first`, or fewer fields."
    )
