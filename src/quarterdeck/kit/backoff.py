"""Pauses that double with each failure up to a cap. Pure: sleeps nowhere, and the caller passes the random number."""

from __future__ import annotations

from typing import NamedTuple

#: 2 ** 32 times any pause is above every cap, and is still a float
_MOST_DOUBLINGS = 32


class Backoff(NamedTuple):
    """The pauses of one kind of retry."""

    first_s: float
    cap_s: float
    #: the share of a pause that is random: 0 always waits the whole pause, 1 waits anything from zero to the whole
    spread: float = 0.5

    def pause_s(self, failures: int, jitter: float = 1.0) -> float:
        """Return the pause after so many failures before this one; `jitter` is a random number from 0 to 1."""
        whole_s = min(self.cap_s, self.first_s * 2.0 ** min(max(failures, 0), _MOST_DOUBLINGS))
        return whole_s * (1.0 - self.spread + self.spread * jitter)
