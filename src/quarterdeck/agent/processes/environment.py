"""What a program finds around it: variables, its folder, and the words that stand for folders of the agent's.

A program's environment is built, never inherited: what the agent was told (its token, say) is none of a program's
business. `Templates` are the requirement document's `$agentroot`, `$root` and `$tmp`; whoever starts programs, or makes
arguments for them, has them replaced here.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from quarterdeck.link.parts import disk_error
from quarterdeck.model.errors import NotInstalled
from quarterdeck.model.nodes import AgentIdentity

#: where programs are looked for when the agent itself was not told
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LANG = "C.UTF-8"
_WORD = re.compile(r"\$(agentroot|root|tmp)(?![A-Za-z0-9_])")


class Templates:
    """The folders of an agent whose own is `home`. Makes the temporary one when it is first asked for."""

    def __init__(self, home: Path) -> None:
        self.agentroot = home
        self.tmp = home / "tmp"

    def fill(self, text: str) -> str:
        """`text` with `$agentroot`, `$root` and `$tmp` replaced; every other `$` stays."""
        return _WORD.sub(self._folder, text)

    def fill_all(self, texts: Iterable[str]) -> tuple[str, ...]:
        """Each of them."""
        return tuple(map(self.fill, texts))

    def fill_values(self, texts: Mapping[str, str]) -> dict[str, str]:
        """The values of a mapping."""
        return {name: self.fill(text) for name, text in texts.items()}

    def make_tmp(self) -> Path:
        """The temporary folder, which is there when this returns. `StorageFull` or `Unavailable` when it cannot be."""
        try:
            self.tmp.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, self.tmp) from error
        return self.tmp

    def _folder(self, found: re.Match[str]) -> str:
        match found[1]:
            case "agentroot":
                return str(self.agentroot)
            case "tmp":
                return str(self.make_tmp())
            case _:
                return self.agentroot.anchor or "/"


class Environment:
    """Of every program that this node runs. `who`: the node, `node`: its name."""

    def __init__(self, templates: Templates, *, who: Callable[[], AgentIdentity], node: str) -> None:
        self._templates = templates
        self._who = who
        self._node = node

    def variables(self, job_id: str, own: Mapping[str, str], *, user: str = "") -> dict[str, str]:
        """All that a program gets; `own` are what it was started with, and win."""
        who = self._who()
        name, home = _user(user)
        return {
            "PATH": os.environ.get("PATH", PATH),
            "HOME": home,
            "LANG": os.environ.get("LANG", LANG),
            "TMPDIR": "/tmp" if user else str(self._templates.make_tmp()),  # noqa: S108 (ours is ours alone)
            "USER": name,
            "LOGNAME": name,
            "QD_GID": str(who.gid),
            "QD_NID": str(who.nid),
            "QD_NODE": self._node,
            "QD_JOB_ID": job_id,
        } | self._templates.fill_values(own)

    def folder(self, wanted: str, *, user: str = "") -> str:
        """Where a program begins; without a wish in the agent's temporary folder, another user's in their home."""
        if wanted:
            return self._templates.fill(wanted)
        return _user(user)[1] if user else str(self._templates.make_tmp())


def _user(name: str) -> tuple[str, str]:
    """Name and home folder of a user; of the agent's own when none is named."""
    if sys.platform == "win32":
        if name:
            raise NotInstalled("Programs run as the agent's own user on this system.")
        return os.environ.get("USERNAME", ""), os.path.expanduser("~")  # noqa: PTH111
    import pwd  # noqa: PLC0415

    try:
        found = pwd.getpwnam(name) if name else pwd.getpwuid(os.geteuid())
    except KeyError:  # a user id without a name, as some containers have; a name is checked where it is used
        return name or str(os.geteuid()), "/"
    return found.pw_name, found.pw_dir if Path(found.pw_dir).is_dir() else "/"
