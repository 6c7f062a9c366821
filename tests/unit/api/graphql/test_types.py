"""GraphQL types from structs: names, nullability, scalars, enums, inputs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest
import strawberry
from msgspec import Meta
from strawberry.schema.config import StrawberryConfig

from quarterdeck.api.graphql.types import JOIN, SCALARS, Types, camel, to_struct
from quarterdeck.model.errors import BadInput
from quarterdeck.model.jobs import JobState
from quarterdeck.model.struct import Struct
from quarterdeck.model.tokens import Role


class Part(Struct, frozen=True, kw_only=True):
    """A part."""

    snake_name: str = "x"


class Whole(Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A whole thing.

    More of it.
    """

    from_: str
    size: Annotated[int, Meta(ge=0)]
    ratio: float | None
    parts: tuple[Part, ...] = ()
    part: Part | None = None
    either: int | str = 0
    until: float | Literal["never"] | None = None
    labels: dict[str, str] = {}
    rows: list[list[object]] = []
    raw: bytes = b""
    role: Role = Role.VIEWER
    state: JobState = JobState.OK


TYPE = '''"""A whole thing."""
type Whole {
  from: String!
  size: BigInt!
  ratio: Float
  parts: [Part!]!
  part: Part
  either: JSON!
  until: JSON
  labels: JSON!
  rows: [[JSON]!]!
  raw: String!
  role: Role!
  state: String!
  first: Part
}'''
INPUT = '''"""A whole thing."""
input WholeInput {
  from: String!
  size: BigInt!
  ratio: Float
  parts: [PartInput!]
  part: PartInput
  either: JSON
  until: JSON
  labels: JSON
  rows: [[JSON]!]
  raw: String
  role: Role
  state: String
}'''


def made() -> tuple[Types, Any, Any]:
    types = Types({Whole: {"first": (Part | None, strawberry.field(metadata={JOIN: None}))}})
    return types, types.of_answer(Whole), types.of_argument(Whole)


def test_a_struct_is_a_type_and_an_input() -> None:
    _, answer, argument = made()

    async def ask(whole: Any) -> Any: ...

    ask.__annotations__ = {"whole": argument, "return": answer}
    query = strawberry.type(type("Query", (), {"__annotations__": {}, "ask": strawberry.field(ask)}))
    text = strawberry.Schema(query=query, config=StrawberryConfig(scalar_map=SCALARS)).as_str()
    assert TYPE in text
    assert INPUT in text
    assert "enum Role {\n  viewer\n  operator\n  admin\n}" in text
    assert "input PartInput {\n  snakeName: String\n}" in text


def test_a_type_is_made_once() -> None:
    types, answer, argument = made()
    assert types.of_answer(Whole) is answer
    assert types.of_argument(Whole | None) == argument | None
    assert answer is not argument


def test_an_input_becomes_the_struct_with_its_own_defaults() -> None:
    types, _, argument = made()
    part = types.of_argument(Part)
    given = argument(from_="a", size=2**63, ratio=None, parts=[part(), part(snake_name="y")], until="never")
    assert to_struct(given, Whole) == Whole(
        from_="a", size=2**63, ratio=None, parts=(Part(), Part(snake_name="y")), until="never"
    )
    role = types.of_argument(Role)
    assert to_struct(argument(from_="", size=1, ratio=1.0, role=role("admin"), raw="eA=="), Whole) == Whole(
        from_="", size=1, ratio=1.0, role=Role.ADMIN, raw=b"x"
    )


@pytest.mark.parametrize("wrong", [{"size": -1}, {"raw": "?"}, {"part": None, "labels": None}])
def test_a_value_that_is_none_of_its_type_is_bad_input(wrong: dict[str, Any]) -> None:
    _, _, argument = made()
    with pytest.raises(BadInput):
        to_struct(argument(**{"from_": "a", "size": 1, "ratio": 1.0} | wrong), Whole)


def test_numbers_of_64_bits_are_taken() -> None:
    parse: Any = next(iter(SCALARS.values())).parse_value
    assert [parse(number) for number in (-(2**63), 0, 2**64 - 1)] == [-(2**63), 0, 2**64 - 1]
    for wrong in (True, "1", 1.0, 2**64, None):
        with pytest.raises(Exception, match="BigInt"):
            parse(wrong)


def test_names_are_those_of_graphql() -> None:
    assert [camel(name) for name in ("node_name", "from", "_a_b", "x")] == ["nodeName", "from", "aB", "x"]
    assert msgspec.json.encode(Whole(from_="", size=0, ratio=None)).startswith(b'{"from"')
