"""Reports of placements: which are taken, and what of them is stored."""

from __future__ import annotations

import logging

import msgspec
import pytest

from quarterdeck.link.messages import PlacementReport
from quarterdeck.model.errors import BadFrame
from quarterdeck.model.modules import DroppedProgram, InstanceState, InstanceStatus
from quarterdeck.model.services import SERVICE, ApplyServices, Service, ServiceState, ServiceStatus
from quarterdeck.model.tokens import ApiToken, Role
from quarterdeck.server.placement.reports import LIST_LIMIT, TEXT_LIMIT, bounded
from tests.services import Services

OLGA = ApiToken(id="1", name="olga", role=Role.OPERATOR)
RUNNING = ServiceStatus(name="site", state=ServiceState.RUNNING, revision=1)


async def site(fleet: Services) -> ServiceStatus:
    (one,) = (await fleet.services.show("site")).nodes
    return one.status


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"name": "site", "state": "RUNNING", "revision": 1, "since": float("nan")}, id="no number"),
        pytest.param({"name": "site", "state": "RUNNING", "revision": "1"}, id="another type"),
        pytest.param({"name": "site", "revision": 1}, id="a part is missing"),
        pytest.param({"name": "x" * 2000, "state": "RUNNING", "revision": 1}, id="too long"),
    ],
)
async def test_a_status_that_could_not_be_read_again_spoils_nothing(fleet: Services, said: dict[str, object]) -> None:
    web = await fleet.join("web-1")
    await fleet.services.apply(ApplyServices(services=(Service(name="site", command=("true",)),)), OLGA)
    await fleet.connect(web)
    with pytest.raises(BadFrame, match="'service' that cannot be stored"):
        await fleet.reports.reported(web, PlacementReport(kind=SERVICE, revision=1, statuses=(said,)))
    await fleet.report(web, SERVICE, RUNNING, revision=1)
    assert await site(fleet) == RUNNING


async def test_a_kind_that_only_a_newer_agent_knows_is_passed_over(
    fleet: Services, caplog: pytest.LogCaptureFixture
) -> None:
    web = await fleet.join("web-1")
    with caplog.at_level(logging.INFO):
        await fleet.report(web, "teleporter", RUNNING, revision=0)
    assert "newer than this server: it reports on 'teleporter'" in caplog.text


async def test_a_report_of_one_kind_before_all_have_acted_keeps_the_acted_revision(fleet: Services) -> None:
    web = await fleet.join("web-1")
    await fleet.connect(web)
    await fleet.services.apply(ApplyServices(services=(Service(name="site", command=("true",)),)), OLGA)
    await fleet.report(web, SERVICE, RUNNING, revision=0)  # modules are still on their way
    assert await site(fleet) == RUNNING
    assert (await fleet.nodes.show("web-1")).acted_revision == 0
    await fleet.report(web, SERVICE, RUNNING, revision=1)
    assert (await fleet.nodes.show("web-1")).acted_revision == 1


def test_no_status_holds_more_than_an_honest_one() -> None:
    status = InstanceStatus(
        instance_id="a",
        state=InstanceState.FAILED,
        revision=7,
        reason="r" * 10**6,
        log=tuple(f"{number} {'l' * 10**4}" for number in range(1000)),
        dropped=(DroppedProgram(program="p" * 10**4, reason="d"),) * 1000,
    )
    kept = bounded(status)
    assert (len(kept.reason), len(kept.log), len(kept.dropped)) == (TEXT_LIMIT, LIST_LIMIT, LIST_LIMIT)
    assert kept.log[-1].startswith("999 "), "the reason stands at the end of a log"
    assert {len(line) for line in kept.log} == {len(kept.dropped[0].program)} == {TEXT_LIMIT}
    assert (kept.state, kept.revision) == (InstanceState.FAILED, 7)
    small = msgspec.structs.replace(status, reason="r", log=("l",), dropped=())
    assert bounded(small) == small
