"""How long an open stream is resumed while its server does not answer, and who is told."""

from __future__ import annotations

import pytest

from quarterdeck.client.streams.absence import ABSENCE_S, Absence
from quarterdeck.model.errors import Unavailable

AWAY = Unavailable("No server answers.")


def test_a_server_that_never_answered_is_not_waited_for() -> None:
    said: list[float] = []
    with pytest.raises(Unavailable):
        Absence(said.append).check(AWAY)
    assert said == []


def test_a_server_that_is_away_is_waited_for_a_minute_each_time_and_said_to_be_away_once() -> None:
    now, said = 7.0, list[float]()
    absence = Absence(said.append, clock=lambda: now)
    for times in (1, 2):
        absence.over()
        for _ in range(60):
            absence.check(AWAY)
            now += ABSENCE_S / 60
        assert said == [ABSENCE_S] * times
        with pytest.raises(Unavailable, match="No server answers"):
            absence.check(AWAY)
