"""Saved queries are shared, and nobody's change is overwritten unseen."""

from __future__ import annotations

import msgspec
import pytest

from quarterdeck.model.errors import AlreadyExists, BadInput, Conflict, NotFound, TooLarge
from quarterdeck.model.saved_queries import QueryView, SaveQuery
from quarterdeck.model.tokens import ApiToken, Role
from quarterdeck.server.saved_queries import DESCRIPTION_LIMIT, QUERIES_LIMIT, SQL_LIMIT_BYTES, SavedQueries
from quarterdeck.store.state import saved_queries as rows
from quarterdeck.store.state.database import Database

OLGA, OTTO = (ApiToken(id=name, name=name, role=Role.OPERATOR) for name in ("olga", "otto"))
ONE = SaveQuery(sql="SELECT 1", description="one", view=QueryView.CHART)
TWO = SaveQuery(sql="SELECT 2")


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queries(database: Database, clock: Clock) -> SavedQueries:
    return SavedQueries(database, clock=clock)


async def test_a_query_is_there_for_all_under_its_name(queries: SavedQueries, clock: Clock) -> None:
    made = await queries.save(" slow starts ", ONE, OLGA)
    assert (made.name, made.sql, made.description, made.view) == ("slow starts", "SELECT 1", "one", QueryView.CHART)
    assert (made.actor, made.changed_by) == ("olga", "olga")
    assert made.create_time == made.last_update_time == clock.now
    await queries.save("a", TWO, OTTO)
    assert [each.name for each in await queries.list()] == ["a", "slow starts"]
    assert await queries.show("slow starts") == made


async def test_a_change_replaces_the_version_that_its_author_saw(queries: SavedQueries, clock: Clock) -> None:
    made = await queries.save("q", ONE, OLGA)
    clock.now += 60
    changed = await queries.save("q", msgspec.structs.replace(TWO, replaces=made.version), OTTO)
    assert (changed.actor, changed.changed_by) == ("olga", "otto")
    assert changed.last_update_time == made.create_time + 60 == changed.create_time + 60
    assert changed.version != made.version
    assert await queries.list() == [changed]


async def test_what_another_has_saved_is_not_overwritten_unseen(queries: SavedQueries) -> None:
    made = await queries.save("q", ONE, OLGA)
    with pytest.raises(AlreadyExists, match="There is already a saved query 'q', by olga at 2027-01-15 08:00:00 UTC"):
        await queries.save("q", TWO, OTTO)
    await queries.save("q", msgspec.structs.replace(TWO, replaces=made.version), OLGA)
    third = SaveQuery(sql="SELECT 3", replaces=made.version)
    with pytest.raises(Conflict, match="was changed meanwhile, by olga"):
        await queries.save("q", third, OTTO)
    await queries.remove("q")
    with pytest.raises(Conflict, match="was removed meanwhile"):
        await queries.save("q", third, OTTO)
    assert await queries.list() == []


async def test_the_same_can_be_saved_again(queries: SavedQueries, clock: Clock) -> None:
    made = await queries.save("q", ONE, OLGA)
    clock.now += 60
    assert await queries.save("q", ONE, OTTO) == made
    assert await queries.save("q", msgspec.structs.replace(ONE, replaces="older"), OTTO) == made


@pytest.mark.parametrize("part", [{"sql": "SELECT 2"}, {"description": ""}, {"view": QueryView.TABLE}], ids=str)
async def test_each_part_makes_another_version(queries: SavedQueries, part: dict[str, str]) -> None:
    made = await queries.save("q", ONE, OLGA)
    changed = await queries.save("q", msgspec.structs.replace(ONE, replaces=made.version, **part), OLGA)
    assert changed.version != made.version


async def test_a_query_that_is_not_there_is_said_with_the_nearest_name(queries: SavedQueries) -> None:
    await queries.save("slow starts", ONE, OLGA)
    for call in (queries.show, queries.remove):
        with pytest.raises(NotFound, match="no saved query 'slow start'") as found:
            await call("slow start")
        assert found.value.hint == "Did you mean slow starts?"
        with pytest.raises(NotFound):
            await call("a\0b")


@pytest.mark.parametrize("name", ["", " ", "a/b", "a\nb", "a\0b", "x" * 254])
async def test_a_name_that_could_not_be_written_is_refused(queries: SavedQueries, name: str) -> None:
    with pytest.raises(BadInput, match="query name"):
        await queries.save(name, ONE, OLGA)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (SaveQuery(sql=" \n"), BadInput),
        (SaveQuery(sql="SELECT '\0'"), BadInput),
        (SaveQuery(sql="SELECT '\ud800'"), BadInput),
        (SaveQuery(sql="SELECT 1", description="\0"), BadInput),
        (SaveQuery(sql="x" * (SQL_LIMIT_BYTES + 1)), TooLarge),
        (SaveQuery(sql="SELECT 1", description="x" * (DESCRIPTION_LIMIT + 1)), TooLarge),
    ],
    ids=["empty", "NUL", "no Unicode", "NUL in the description", "long SQL", "long description"],
)
async def test_what_cannot_be_saved_is_refused(
    queries: SavedQueries, request_: SaveQuery, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await queries.save("q", request_, OLGA)
    assert await queries.list() == []


async def test_there_is_a_most_of_queries(database: Database, queries: SavedQueries) -> None:
    first = await queries.save("q0", ONE, OLGA)
    async with database.write() as transaction:
        for number in range(1, QUERIES_LIMIT):
            await rows.add(transaction, msgspec.structs.replace(first, name=f"q{number}"))
    with pytest.raises(TooLarge, match="at most 1000 saved queries"):
        await queries.save("one more", TWO, OLGA)
    await queries.save("q0", msgspec.structs.replace(TWO, replaces=first.version), OLGA)
