"""Execution of a selection for all objects of a level at once.

The executor of graphql-core walks each value on its own, in Python. Here a field is read from all objects of its level
in one step, and a field that joins another noun is loaded by one call for all its parents, whatever their number: there
is no query for each object. Root fields, variables, directives, fragments and introspection are graphql-core's.

Each object of the answer is a row: a struct with the selected fields, under the names that the answer gives them. Rows
take less time and memory than dictionaries, and are encoded as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from itertools import chain, islice, starmap
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
#: JSON values that are encoded before their bytes are counted
_AT_ONCE = 1_000
#: kinds of rows that are kept for later requests, and the characters of the names that one of them may have
_KINDS_KEPT, _KEPT_CHARACTERS = 256, 4_000
_LINES = msgspec.json.Encoder()
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
            return self._leaves(kind, values)
        if isinstance(kind, GraphQLList):
            inner = cast("Any", kind).of_type
            flat = list(chain.from_iterable(value for value in values if value is not None))
            done = iter(await self._complete(inner, details, flat))
            return [None if value is None else list(islice(done, len(value))) for value in values]
        present = [value for value in values if value is not None]
        rows = await self._level(kind, details, present)
        if len(present) == len(values):
            return rows
        done = iter(rows)
        return [None if value is None else next(done) for value in values]

    async def _level(self, kind: GraphQLObjectType, details: Any, objects: Sequence[Any]) -> list[Any]:
        """Return the row of each object."""
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
        return list(starmap(_row(tuple(fields)), zip(*columns, strict=True)))

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
            if len(values) != len(objects):
                raise RuntimeError(f"{kind.name}.{name}: {len(values)} values were loaded for {len(objects)} objects")
        return await self._complete(field.type, details, values)

    def _leaves(self, kind: Any, values: Sequence[Any]) -> Sequence[Any]:
        """Return values without fields, and count their bytes, which aliases and joins can multiply."""
        name = getattr(kind, "name", "")  # a list has none
        if isinstance(kind, GraphQLEnumType) or name in _SMALL:
            return values
        if name == "String":
            texts: Any = filter(None, values)
            self._count(sum(map(len, texts)))
            return values
        found: list[msgspec.Raw] = []
        for begin in range(0, len(values), _AT_ONCE):
            lines = _LINES.encode_lines(values[begin : begin + _AT_ONCE]).splitlines()
            self._count(sum(map(len, lines)))
            found.extend(map(msgspec.Raw, lines))
        return found

    def _count(self, size: int) -> None:
        self._bytes += size
        if self._bytes > self.bytes_limit:
            raise _too_large(f"{self.bytes_limit} bytes")


def _row(keys: tuple[str, ...]) -> type[msgspec.Struct]:
    """Return the struct of rows with these keys. Keys come from the document, so only short ones are kept."""
    return (_kept_row if sum(map(len, keys)) <= _KEPT_CHARACTERS else _made_row)(keys)


def _made_row(keys: tuple[str, ...]) -> type[msgspec.Struct]:
    names = {f"f{place}": key for place, key in enumerate(keys)}
    # a row is made after its values, so no row leads back to itself, and the garbage collector need not look at it
    return msgspec.defstruct("Row", list(names), rename=names, frozen=True, gc=False)


_kept_row = lru_cache(maxsize=_KINDS_KEPT)(_made_row)


def _too_large(what: str) -> TooLarge:
    return TooLarge(
        f"The answer would have more than {what}.", hint="Ask for fewer entries with `first`, or fewer fields."
    )
