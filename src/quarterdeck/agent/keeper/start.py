"""A request to the keeper to start a program: the program, its user, and its cgroups."""

from __future__ import annotations

import sys

from quarterdeck.model.errors import BadInput, NotInstalled
from quarterdeck.model.struct import Struct


class Plan(Struct, frozen=True, kw_only=True):
    """The cgroups of a program with their limits; the keeper kills by the first one."""

    groups: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()


class User(Struct, frozen=True, kw_only=True):
    """The user that a program runs as."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()

    @classmethod
    def named(cls, name: str) -> User:
        """Return a user of this host. Raise `BadInput` when there is none of that name."""
        if sys.platform == "win32":
            raise NotInstalled("Programs run as the agent's own user on this system.")
        import grp  # noqa: PLC0415
        import pwd  # noqa: PLC0415

        try:
            found = pwd.getpwnam(name)
        except KeyError:
            raise BadInput(f"There is no user '{name}' on this node.", hint="Name one that `id NAME` knows.") from None
        groups = (each.gr_gid for each in grp.getgrall() if name in each.gr_mem)
        return cls(uid=found.pw_uid, gid=found.pw_gid, groups=(found.pw_gid, *groups))


class Start(Struct, frozen=True, kw_only=True):
    """The program to run. Its `id` is free again once its exit is acknowledged."""

    id: str
    argv: tuple[str, ...]
    env: dict[str, str] = {}  #: all of it: nothing is inherited
    cwd: str = "/"
    user: User | None = None  #: None: the agent's
    stdin: bytes = b""  #: then its standard input is at its end
    stdin_file: str = ""  #: a file that is its standard input instead
    plan: Plan = Plan()
    restarts: int = 0  #: failed runs before this one; the keeper only remembers it
    spool_bytes: int | None = None  #: output that waits on disk for the agent; the oldest goes when it is more


class StartRefused(BadInput):
    """The program could not be started."""
