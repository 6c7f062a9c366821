"""The agent's placements: each kind acts on its part of a desired set and reports, and disturbs no other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from quarterdeck.agent.connection import LiveLink
from quarterdeck.agent.placements import Placements
from quarterdeck.link.messages import Desired, PlacementReport
from quarterdeck.model.desired import DesiredSet
from tests.banners import BANNER, Banner, BannerStatus, ShownBanners
from tests.support import until

encode = msgspec.msgpack.encode


def wanted(revision: int, *texts: str, **others: object) -> DesiredSet:
    """A set of banners, and of one thing of each other kind."""
    things = {BANNER: tuple(msgspec.Raw(encode(Banner(name=text, text=text))) for text in texts)}
    return DesiredSet(revision=revision, placements=things | {k: (msgspec.Raw(encode(v)),) for k, v in others.items()})


class Link:
    """Remembers what is sent."""

    def __init__(self) -> None:
        self.sent: list[PlacementReport] = []

    async def send(self, message: PlacementReport) -> None:
        self.sent.append(message)

    def last(self, kind: str) -> PlacementReport | None:
        return next((report for report in reversed(self.sent) if report.kind == kind), None)


class Node:
    """One node with two kinds of banners, linked."""

    def __init__(self, home: Path) -> None:
        self.placements = Placements(home / "desired", agent_id=lambda: "me")
        self.banners = ShownBanners(lambda: self.placements.changed(BANNER))
        self.flags = ShownBanners(lambda: self.placements.changed("flag"))
        self.placements.register(BANNER, Banner, self.banners)
        self.placements.register("flag", Banner, self.flags)
        self.link = Link()


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    made = Node(tmp_path)
    tasks = [
        asyncio.create_task(made.placements.run()),
        asyncio.create_task(made.placements.open(cast("LiveLink", made.link)).run()),
    ]
    yield made
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_each_kind_gets_its_part_and_reports_on_it(node: Node) -> None:
    node.placements.received(Desired(desired=wanted(3, "a", "b", flag=Banner(name="f", text="f"))))
    await node.placements.settled()
    assert (node.banners.texts, node.flags.texts) == (["a", "b"], ["f"])
    assert (node.placements.acted, node.placements.held) == (3, 3)
    expected = PlacementReport.of("flag", [BannerStatus(name="f", revision=3, shown=True)], revision=3)
    await until(lambda: node.link.last("flag") == expected)
    node.link.sent.clear()
    node.banners.fall("a")
    await until(lambda: node.link.sent)
    assert [report.kind for report in node.link.sent] == [BANNER], "only what changed is reported again"
    assert [status["reason"] for status in node.link.sent[0].statuses if "reason" in status] == ["It fell down."]


async def test_a_part_that_cannot_be_read_stays_as_it_is(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    node.placements.want(wanted(1, "a", flag=Banner(name="f", text="f")))
    await node.placements.settled()
    node.placements.want(wanted(2, "b", flag={"name": "f"}))
    await node.placements.settled()
    assert (node.banners.texts, node.flags.texts) == (["b"], ["f"])
    assert "of kind 'flag'" in caplog.text
    assert "the same release" in caplog.text
    assert node.flags.shown["f"].revision == 1


async def test_a_kind_that_only_a_newer_server_knows_is_passed_over(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        node.placements.want(wanted(1, "a", teleporter={"to": "mars"}))
        await node.placements.settled()
    assert node.banners.texts == ["a"]
    assert "teleporter" in caplog.text


async def test_what_was_wanted_last_is_wanted_at_the_start_unless_another_agent_was_given_it(tmp_path: Path) -> None:
    first = Node(tmp_path)
    keeping = asyncio.create_task(first.placements.run())
    first.placements.want(wanted(4, "a"))
    await first.placements.settled()
    keeping.cancel()
    again = Node(tmp_path)
    assert (again.placements.held, again.placements.acted) == (4, 0)
    keeping = asyncio.create_task(again.placements.run())
    await again.placements.settled()
    assert again.banners.texts == ["a"]
    keeping.cancel()
    other = Placements(tmp_path / "desired", agent_id=lambda: "another")
    assert other.held == 0


@pytest.mark.parametrize("content", [{"revision": 7}, {"revision": 7, "instances": [], "services": []}])
async def test_a_set_in_another_form_is_no_empty_set(tmp_path: Path, content: dict[str, Any]) -> None:
    (tmp_path / "desired").write_bytes(encode(content))
    assert Node(tmp_path).placements.held == 0
