"""Execution by level: one call for all parents, the same answer as graphql-core's own, and a limit of objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
import strawberry
from strawberry.schema.config import StrawberryConfig

from quarterdeck.api.graphql.executor import LevelExecutor
from quarterdeck.api.graphql.types import JOIN, SCALARS, Types
from quarterdeck.model.struct import Struct


class Leaf(Struct, frozen=True, kw_only=True):
    """A leaf."""

    id: int
    of: int


class Tree(Struct, frozen=True, kw_only=True):
    """A tree."""

    id: int
    first: Leaf | None = None
    leaves: tuple[Leaf, ...] = ()
    rows: tuple[tuple[Leaf, ...], ...] = ()
    maybe: tuple[Leaf, ...] | None = None
    note: str = "note!"
    marks: dict[str, list[str]] = msgspec.field(default_factory=lambda: {"k": ["é"]})


def leaf(number: int) -> Leaf:
    return Leaf(id=number, of=number // 10)


FOREST = [
    Tree(
        id=n,
        first=None if n % 2 else leaf(n),
        leaves=tuple(leaf(10 * n + i) for i in range(n)),
        rows=tuple(tuple(leaf(i) for i in range(k)) for k in range(n)),
        maybe=None if n % 3 else (leaf(n),),
    )
    for n in range(4)
]
#: more than what is encoded at once, with texts that have line ends
MANY = [Tree(id=n, marks={f"{n}\n": ["\r\n", "\u2028\x85\v"] * (n % 3)}) for n in range(2_500)]


def schema(calls: list[int]) -> strawberry.Schema:
    async def joined(context: Any, parents: Sequence[Any]) -> Sequence[Any]:
        calls.append(len(parents))
        return [None if parent.id % 2 else FOREST[parent.id % 4] for parent in parents]

    async def losing(_: Any, parents: Sequence[Any]) -> Sequence[Any]:
        return [FOREST[0]] * (len(parents) - 1)

    tree, lost = (strawberry.field(metadata={JOIN: join}) for join in (joined, losing))
    types = Types({Leaf: {"tree": (Tree | None, tree), "lost": (Tree | None, lost)}})

    async def forest() -> Any:
        return FOREST

    def many() -> Any:
        return MANY

    def one() -> Any:
        return FOREST[2]

    forest.__annotations__ = many.__annotations__ = {"return": types.of_answer(tuple[Tree, ...] | None)}
    one.__annotations__ = {"return": types.of_answer(Tree)}
    fields = {resolver.__name__: strawberry.field(resolver) for resolver in (forest, many, one)}
    query = strawberry.type(type("Query", (), {"__annotations__": {}, **fields}))
    return strawberry.Schema(
        query=query, config=StrawberryConfig(scalar_map=SCALARS), execution_context_class=LevelExecutor
    )


def data(answer: Any) -> Any:
    """Return the data of an answer as a client reads it."""
    assert answer.errors is None
    return msgspec.json.decode(msgspec.json.encode(answer.data))


def as_json(value: Any, *, names: tuple[str, ...]) -> Any:
    if isinstance(value, tuple | list):
        return [as_json(each, names=names) for each in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, Struct):
        return {name: as_json(getattr(value, name), names=names) for name in names if hasattr(value, name)}
    return value


async def test_values_are_those_of_the_structs() -> None:
    query = "{ forest { id first { ...L } leaves { ...L } rows { ...L } maybe { ...L } } } fragment L on Leaf { id of }"
    answer = await schema([]).execute(query)
    names = ("id", "first", "leaves", "rows", "maybe", "of")
    assert data(answer) == {"forest": as_json(FOREST, names=names)}


async def test_a_joined_field_is_loaded_once_for_all_its_parents() -> None:
    calls: list[int] = []
    query = "{ forest { leaves { again: tree { id leaves { tree { id } } } } } one { leaves { tree { id } } } }"
    answer = await schema(calls).execute(query)
    assert answer.errors is None
    leaves = [each for tree in FOREST for each in tree.leaves]
    inner = [each for found in leaves if not found.id % 2 for each in FOREST[found.id % 4].leaves]
    assert sorted(calls) == sorted([len(leaves), len(inner), 2])


async def test_aliases_fragments_directives_and_names_of_types() -> None:
    query = """
      query Q($yes: Boolean!) {
        one {
          a: id b: id __typename id @skip(if: $yes)
          ... on Tree @include(if: $yes) { leaves { x: id } }
          ...F
          leaves { of }
        }
        __schema { queryType { name } }
      }
      fragment F on Tree { first { id } }
    """
    answer = await schema([]).execute(query, variable_values={"yes": True})
    assert data(answer) == {
        "one": {
            "a": 2,
            "b": 2,
            "__typename": "Tree",
            "leaves": [{"x": 20, "of": 2}, {"x": 21, "of": 2}],
            "first": {"id": 2},
        },
        "__schema": {"queryType": {"name": "Query"}},
    }


async def test_a_selection_may_be_skipped_as_a_whole() -> None:
    answer = await schema([]).execute("{ forest { id @skip(if: true) } }")
    assert data(answer) == {"forest": [{}, {}, {}, {}]}


@pytest.mark.parametrize("length", [1, 1000])  # the names of the second are too long for its rows to be kept
async def test_rows_have_the_selected_fields_in_their_order(length: int) -> None:
    names = [f"{'z' * (length - n)}{n}" for n in range(9)]
    query = " ".join(f"a{name}: {field}" for name, field in zip(names, ["id", "note", "marks"] * 3, strict=True))
    found = data(await schema([]).execute(f"{{ forest {{ {query} last: __typename }} }}"))
    keys = [*(f"a{name}" for name in names), "last"]
    assert [list(tree.items()) for tree in found["forest"]] == [
        list(zip(keys, [tree.id, "note!", {"k": ["é"]}] * 3 + ["Tree"], strict=True)) for tree in FOREST
    ]


async def test_json_values_keep_their_places_and_their_line_ends() -> None:
    found = data(await schema([]).execute("{ many { id marks } }"))
    assert found == {"many": [{"id": tree.id, "marks": tree.marks} for tree in MANY]}


async def test_a_join_that_loses_a_parent_is_an_error() -> None:
    answer = await schema([]).execute("{ forest { leaves { lost { id } } } }")
    assert answer.data == {"forest": None}
    assert len(answer.errors or ()) == 1


async def refusal(query: str, *, values: int = 1000, size: int = 1000) -> str:
    class Small(LevelExecutor):
        values_limit = values
        bytes_limit = size

    made = schema([])
    made.execution_context_class = Small
    answer = await made.execute(query)
    return "".join(error.message for error in answer.errors or ())


async def test_an_answer_has_limits() -> None:
    query = "{ forest { leaves { id of } } }"  # 4 trees with 1 value, 6 leaves with 2
    assert await refusal(query, values=16) == ""
    assert "more than 15 values" in await refusal(query, values=15)
    assert "more than 10 values" in await refusal("{ forest { leaves { tree { id } } } }", values=10)
    notes = "{ one { note marks } }"
    assert await refusal(notes, size=5 + len('{"k":["é"]}'.encode())) == ""
    assert "bytes" in await refusal(notes, size=4 + len('{"k":["é"]}'.encode()))
    aliases = " ".join(f"a{n}: id" for n in range(9))
    assert await refusal(f"{{ one {{ id {aliases} }} }}") == ""
    assert "'id' is there 11 times" in await refusal(f"{{ one {{ id {aliases} ... on Tree {{ b: id }} }} }}")


@pytest.mark.parametrize("query", ["{ forest { first { tree { id } } } }"])
async def test_null_parents_are_not_loaded(query: str) -> None:
    calls: list[int] = []
    answer = await schema(calls).execute(query)
    assert data(answer) == {
        "forest": [{"first": {"tree": {"id": 0}}}, {"first": None}, {"first": {"tree": {"id": 2}}}, {"first": None}]
    }
    assert calls == [2]
