"""Notices of the server are logged once each, and again after they were withdrawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import pytest

from quarterdeck.agent.connection import LiveLink
from quarterdeck.agent.notices import Notices
from quarterdeck.link.messages import Welcome


class Link(NamedTuple):
    welcome: Welcome


@pytest.mark.parametrize(
    ("welcomes", "logged"),
    [([["a"], ["a"]], ["a"]), ([["a"], ["a", "b"]], ["a", "b"]), ([["a"], [], ["a"]], ["a", "a"])],
    ids=["repeated", "one more", "withdrawn in between"],
)
async def test_a_notice_is_logged_when_the_welcome_before_did_not_have_it(
    welcomes: Sequence[Sequence[str]], logged: Sequence[str], caplog: pytest.LogCaptureFixture
) -> None:
    notices = Notices()
    for texts in welcomes:
        welcome = Welcome(gid=1, nid=1, heartbeat_s=1.0, server_time=0.0, notices=tuple(texts))
        await notices.open(cast("LiveLink", Link(welcome))).run()
    assert [record.getMessage() for record in caplog.records] == logged
