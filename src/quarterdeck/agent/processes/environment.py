"""The environment of a program: its variables, its folder, and the words that stand for folders of the agent.

A program's environment is built, never inherited: the agent's own variables (its token, for example) are not passed to
programs. `Templates` define where a word stands for a folder. Arguments and variables are passed to the program
unchanged, because a shell has variables such as `$tmp` of its own. Words are replaced in paths that the agent itself
opens, in templates of the node's configuration, and in services, which have their own form for them.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from quarterdeck.model.disk import disk_error
from quarterdeck.model.errors import NotInstalled
from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.model.services import Service

#: where programs are looked for when the agent itself was not told
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LANG = "C.UTF-8"
#: matches at the beginning of a path: the word must be the whole first component
_BEGINNING = re.compile(r"\$(agentroot|root|tmp)(?=[/\\]|\Z)")
_WORD = re.compile(r"(\$?)\$(agentroot|root|tmp)(?![A-Za-z0-9_])")
_BRACES = re.compile(r"(\{\{agent\.(?:root|tmp)\}\})|\{(agent\.root)\}|\{agent\.(tmp)\}")


class Templates:
    """The folders of an agent whose own is `home`. The temporary folder is created when it is first requested."""

    def __init__(self, home: Path) -> None:
        self.agentroot = home
        self.tmp = home / "tmp"

    def path(self, text: str) -> str:
        """Replace the words `$agentroot`, `$root` and `$tmp` at the beginning of a path; elsewhere they are literal."""
        found = _BEGINNING.match(text)
        if found is None:
            return text
        folder, rest = self._folder(found[1]), text[found.end() :]
        return folder.rstrip(os.sep) + rest if rest else folder

    def template(self, text: str) -> str:
        """Return a template of the node's configuration with these words replaced; `$$root` becomes `$root`."""
        return _WORD.sub(lambda found: found[0][1:] if found[1] else self._folder(found[2]), text)

    def service(self, text: str) -> str:
        """Return a service's text with `{agent.root}` and `{agent.tmp}` replaced; `{{agent.tmp}}` is `{agent.tmp}`."""
        return _BRACES.sub(lambda found: found[0][1:-1] if found[1] else self._folder(found[2] or found[3]), text)

    def service_argv(self, command: Sequence[str]) -> tuple[str, ...]:
        """Return a service's program, which is a path, and its arguments."""
        return (self.path(self.service(command[0])), *map(self.service, command[1:]))

    def service_settings(self, service: Service) -> Service:
        """Return the settings of a service's process, with the folders filled in."""
        env = {name: self.service(value) for name, value in service.env.items()}
        return msgspec.structs.replace(service, env=env, workingdir=self.service(service.workingdir))

    def make_tmp(self) -> Path:
        """Create and return the temporary folder; raise `StorageFull` or `Unavailable` when that fails."""
        try:
            self.tmp.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, self.tmp) from error
        return self.tmp

    def _folder(self, word: str) -> str:
        match word:
            case "agentroot" | "agent.root":
                return str(self.agentroot)
            case "tmp":
                return str(self.make_tmp())
            case _:
                return self.agentroot.anchor or "/"


class Environment:
    """The environment of the programs of this node. `who`: the identity of the node; `node`: its name."""

    def __init__(self, templates: Templates, *, who: Callable[[], AgentIdentity], node: str) -> None:
        self._templates = templates
        self._who = who
        self._node = node

    def variables(self, job_id: str, own: Mapping[str, str], *, user: str = "") -> dict[str, str]:
        """Return the environment of a program; its own variables `own` take precedence."""
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
            **own,
        }

    def folder(self, wanted: str, *, user: str = "") -> str:
        """Return the working directory; by default the agent's temporary folder, or the home of another user."""
        if wanted:
            return self._templates.path(wanted)
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
