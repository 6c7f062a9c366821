"""The audit log."""

from __future__ import annotations

import pytest

from quarterdeck.model.errors import BadInput
from quarterdeck.server.audit import Audit
from tests.services import Services


async def test_entries_are_listed_newest_first(fleet: Services) -> None:
    for number in range(3):
        fleet.clock.now = float(number)
        await fleet.audit.record(actor="ci", role="operator", action="deployModule", target=f"m{number}", result="ok")
    entries = await fleet.audit.list(limit=2)
    assert [(entry.time, entry.target) for entry in entries] == [(2.0, "m2"), (1.0, "m1")]
    assert (entries[0].actor, entries[0].role, entries[0].action) == ("ci", "operator", "deployModule")
    for limit in (0, -1, 10_001):
        with pytest.raises(BadInput, match="1 to 10000"):
            await fleet.audit.list(limit=limit)


async def test_what_was_asked_for_is_kept_short_and_storable(fleet: Services) -> None:
    await fleet.audit.record(actor="ci", role="viewer", action="x", target="a\0" + "b" * 5000, result="not_found")
    (entry,) = await fleet.audit.list()
    assert entry.target.startswith("a\N{REPLACEMENT CHARACTER}b")
    assert len(entry.target) == 1000


async def test_only_the_newest_entries_are_kept(fleet: Services) -> None:
    audit = Audit(fleet.database, entries=2)
    for number in range(4):
        await audit.record(actor="ci", role="operator", action="deployModule", target=f"m{number}")
    assert [entry.target for entry in await audit.list()] == ["m3", "m2"]
