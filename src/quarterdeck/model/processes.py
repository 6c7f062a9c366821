"""Processes: the settings of a program that the agent runs, the rules of its restarts, and its resource usage.

The requirement document defines the names and meanings of the settings. They are the same in commands, services and
extensions.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from quarterdeck.model.durations import Seconds
from quarterdeck.model.errors import BadInput
from quarterdeck.model.files import check_sha256
from quarterdeck.model.messages import Levels, LevelsWritten, LogLevels
from quarterdeck.model.struct import Struct

#: as `max_time`: without limit, and remembered; as `max_restart`: without limit
FOREVER = -1
#: sizes and counts are below this
INTEGER_LIMIT = 1 << 63
#: default interval at which the resource usage of a process is measured
STATS_INTERVAL_S = 30.0
#: default time between TERM and KILL
GRACE_S = 10.0

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


class Rules(Struct, frozen=True, kw_only=True):
    """The rules by which one process is stopped and restarted."""

    max_time: Seconds = 0.0  #: seconds; 0 without limit; -1 without limit, and remembered
    max_restart: int = 0  #: restarts when it fails; a run of 5 minutes clears the count; -1: without limit
    recurring_period: Seconds = 0.0  #: seconds from the end of a run to the next; 0: once

    def __post_init__(self) -> None:
        if self.max_time < 0 and self.max_time != FOREVER:
            raise BadInput(f"max_time is seconds, 0 (no limit) or -1 (no limit, remembered), not {self.max_time:g}.")
        if self.max_restart < FOREVER:
            raise BadInput(f"max_restart is a number of restarts, or -1 (no limit), not {self.max_restart}.")
        if self.recurring_period < 0:
            raise BadInput(f"recurring_period is seconds, or 0 (once), not {self.recurring_period:g}.")

    @property
    def remembered(self) -> bool:
        """Return whether the process is started again after a restart of the agent, and after `killall`."""
        return self.max_time == FOREVER or self.recurring_period > 0


class Limits(Struct, frozen=True, kw_only=True):
    """The resources that a process and its children may use together. None: the same limit as the agent's."""

    memory_bytes: int | None = None
    cpus: float | None = None  #: 0.5 is half of one CPU
    pids: int | None = None  #: processes and threads


class UsualSettings(LogLevels, frozen=True, kw_only=True):
    """Defaults of a node's programs. A command, a service or an extension can override each by the same name."""

    stats_interval: Seconds = STATS_INTERVAL_S  #: seconds between measurements of a program's resource usage

    def __post_init__(self) -> None:
        for name in LogLevels.__struct_fields__:
            try:
                Levels.parse(getattr(self, name))
            except BadInput as error:
                raise BadInput(f"{name}: {error.message}", hint=error.hint) from error
        _check_interval(self.stats_interval)


class ProcessSettings(Rules, frozen=True, kw_only=True):
    """The settings that every program has, whether a command, a service or an extension starts it."""

    domain: str = ""  #: domain under which its messages and stats are stored
    name: str = ""  #: name within that domain
    workingdir: str = ""  #: may begin as `cmd` may; default: the agent's `tmp`, or the home of another `user`
    env: dict[str, str] = {}  #: added to the environment that every process gets
    user: str = ""  #: a user of the node; default: the agent's own
    memory: int | str | None = None  #: bytes, or "512M", for the whole tree
    cpus: float | None = None  #: 0.5 is half of one CPU
    pids: int | None = None  #: processes and threads in the tree
    grace: Seconds = GRACE_S  #: seconds between TERM and KILL
    stats_interval: Seconds | None = None  #: seconds between measurements of its usage; default: the node's, 30
    loglevels: LevelsWritten | None = None  #: levels that are taken; default: the node's, "*"
    loglevels_db: LevelsWritten | None = None  #: of these, levels that are stored; default: the node's, "1-9,11,20-30"
    loglevels_ac: LevelsWritten | None = None  #: of these, levels that are forwarded; default: the node's, "3,4,7-9"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cpus is not None and self.cpus <= 0:
            raise BadInput(f"cpus is more than 0, such as 0.5 for half of one CPU, not {self.cpus:g}.")
        if self.pids is not None and self.pids < 1:
            raise BadInput(f"pids is 1 or more, not {self.pids}.")
        if self.grace < 0:
            raise BadInput(f"grace is seconds, 0 or more, not {self.grace:g}.")
        if self.stats_interval is not None:
            _check_interval(self.stats_interval)
        if self.memory is not None:
            parse_size(self.memory)
        if "\0" in self.user or "\0" in self.workingdir:
            raise BadInput("The user or the workingdir of a program contains a NUL byte, which no system accepts.")

    @property
    def limits(self) -> Limits:
        """Return the limits of its tree."""
        memory = None if self.memory is None else parse_size(self.memory)
        return Limits(memory_bytes=memory, cpus=self.cpus, pids=self.pids)

    def complete(self, usual: UsualSettings) -> UsualSettings:
        """Return its levels of messages and its stats interval, with `usual` for each that it does not set."""
        own = {name: getattr(self, name) for name in UsualSettings.__struct_fields__}
        return msgspec.structs.replace(usual, **{name: value for name, value in own.items() if value is not None})


class ProgramArguments(ProcessSettings, frozen=True, kw_only=True):
    """The common arguments of the commands that start a program."""

    stdin_sha256: str = ""  #: sha256 of a content on the server that is the program's standard input, instead of `data`

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stdin_sha256:
            check_sha256(self.stdin_sha256)


class ExecuteArguments(ProgramArguments, frozen=True, kw_only=True):
    """The arguments of `execute`. They are passed to the program unchanged, without a shell."""

    cmd: str  #: the program, by its full path or found in PATH; may begin with `$agentroot`, `$root` or `$tmp`
    args: tuple[str, ...] = ()  #: arguments of the program, unchanged


class ProcessStats(Struct, frozen=True, kw_only=True):
    """The resource usage of a process tree, as sums over its processes."""

    id: str
    domain: str = ""
    name: str = ""
    processes: int = 0
    threads: int = 0
    descriptors: int = 0
    cpu: float = 0.0  #: per cent of one CPU
    cpu_s: float = 0.0  #: since its start; without cgroups, only of the processes that still run
    rss: int = 0  #: bytes, like all following sizes
    vms: int = 0
    swap: int = 0
    memory: int | None = None  #: as counted by its cgroup, including the page cache
    read_bytes: int = 0
    written_bytes: int = 0


class ProcessesStats(Struct, frozen=True, kw_only=True):
    """The answer of `get_processes_stats`."""

    processes: tuple[ProcessStats, ...] = ()


class KilledAll(Struct, frozen=True, kw_only=True):
    """The answer of `killall`."""

    killed: int  #: running processes that were requested to end


class Phase(StrEnum):
    """The phase of a supervised process."""

    WAITING = "waiting"  #: it will be started when it is due
    RUNNING = "running"
    ENDING = "ending"  #: it was requested to end
    DONE = "done"  #: it ended and will not be started again


def parse_size(written: int | str) -> int:
    """Return the bytes of 1048576, "512M" or "1.5G" (powers of 1024). Raise `BadInput` for other values and for 0."""
    match = _SIZE.fullmatch(written.strip()) if isinstance(written, str) else None
    size = float(match[1]) * _UNITS[match[2].upper()] if match else written
    if isinstance(size, str) or not 1 <= size < INTEGER_LIMIT:
        hint = "Write a number, with K, M, G or T: 512M."
        raise BadInput(f"{repr(written)[:100]} is not a size in bytes.", hint=hint)
    return int(size)


def size_in_words(count: float) -> str:
    """Return a number of bytes in readable form: "1.4 MiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def _check_interval(seconds: float) -> None:
    if not seconds > 0:
        raise BadInput(f"stats_interval is seconds, more than 0, not {seconds:g}.")


def program_line(words: Iterable[str]) -> str:
    """Return a program and its arguments as a shell command line, with as few quotes as possible."""
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    if "'" not in word or set(word) & set('"$`\\!'):
        return shlex.quote(word)
    return f'"{word}"'
