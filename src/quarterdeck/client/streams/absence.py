"""The absence of a server: for how long an open stream is resumed, and who is notified. It does no HTTP."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from quarterdeck.model.errors import Unavailable

log = logging.getLogger(__name__)

#: seconds for which an open stream is resumed while the server does not answer
ABSENCE_S = 60.0

#: called once for each absence of the server of an open stream, with the seconds for which the stream is retried
Notice = Callable[[float], None]


def log_absence(seconds: float) -> None:
    """Log that the server does not answer."""
    log.warning("the server does not answer, trying again for %g s", seconds)


class Absence:
    """The decision for how long one stream is resumed while its server does not answer. `clock`: monotonic seconds."""

    def __init__(self, notice: Notice, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._notice = notice
        self._clock = clock
        self._opened = False
        self._since: float | None = None

    def over(self) -> None:
        """Record that the server has answered."""
        self._opened, self._since = True, None

    def check(self, error: Unavailable) -> None:
        """Raise `error` if the server never answered, or has not answered for `ABSENCE_S`."""
        if not self._opened:
            raise error
        now = self._clock()
        if self._since is None:
            self._since = now
            self._notice(ABSENCE_S)
        elif now - self._since >= ABSENCE_S:
            raise error
