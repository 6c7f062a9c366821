"""File descriptors: how many the process may have open, and the share of each listening port.

A port that used all of them would stop the stores and the other ports; so each port has a share, and the stores have
the rest. This module only computes and raises limits; each port enforces its own.
"""

from __future__ import annotations

import resource
from typing import NamedTuple

#: the most that the process requests, even where the system allows more: the server needs fewer
_HTTP, _LINK, _LINK_HTTPS = 8192, 16_384, 8192
_SHARE = 4  # of the descriptors, for each port


class Connections(NamedTuple):
    """The number of connections that each port may have."""

    http: int
    link: int
    link_https: int

    @classmethod
    def of(cls, descriptors: int) -> Connections:
        """Return the shares of this number of descriptors."""
        share = max(1, descriptors // _SHARE)
        return cls(http=min(_HTTP, share), link=min(_LINK, share), link_https=min(_LINK_HTTPS, share))


def raise_limit() -> int:
    """Raise this process' limit of descriptors as far as the system allows; return the new limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 1 << 20
