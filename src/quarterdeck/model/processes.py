"""Processes: what a program that the agent runs is told, how it is kept alive, and what its tree uses.

Names and meanings of the settings are those of the requirement document's arguments; a command, a service and an
extension all say them with these words.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from quarterdeck.model.errors import BadInput
from quarterdeck.model.messages import Levels, LevelsWritten, LogLevels
from quarterdeck.model.struct import Struct

#: of `max_time`: without limit, and remembered; of `max_restart`: without limit
FOREVER = -1
#: sizes and counts are below this
INTEGER_LIMIT = 1 << 63
#: how often a process is looked at, unless its stats_interval says otherwise
STATS_INTERVAL_S = 30.0
#: between TERM and KILL
GRACE_S = 10.0

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


class Rules(Struct, frozen=True, kw_only=True):
    """How one process is kept."""

    max_time: float = 0.0  #: seconds; 0 without limit; -1 without limit, and remembered
    max_restart: int = 0  #: restarts when it fails; a run of 5 minutes clears the count; -1: without limit
    recurring_period: float = 0.0  #: seconds from the end of a run to the next; 0: once

    def __post_init__(self) -> None:
        if self.max_time < 0 and self.max_time != FOREVER:
            raise BadInput(f"max_time is seconds, 0 (no limit) or -1 (for ever, remembered), not {self.max_time:g}.")
        if self.max_restart < FOREVER:
            raise BadInput(f"max_restart is a number of restarts, or -1 (no limit), not {self.max_restart}.")
        if self.recurring_period < 0:
            raise BadInput(f"recurring_period is seconds, or 0 (once), not {self.recurring_period:g}.")

    @property
    def remembered(self) -> bool:
        """Whether it starts again after a restart of the agent, and after `killall`."""
        return self.max_time == FOREVER or self.recurring_period > 0


class Limits(Struct, frozen=True, kw_only=True):
    """What a process and everything it starts may use together. None: as much as the agent itself."""

    memory_bytes: int | None = None
    cpus: float | None = None  #: 0.5 is half of one CPU
    pids: int | None = None  #: processes and threads


class UsualSettings(LogLevels, frozen=True, kw_only=True):
    """Of programs that are not told otherwise; a command, a service or an extension may say each by the same name."""

    stats_interval: float = STATS_INTERVAL_S  #: seconds between looks at what a program uses

    def __post_init__(self) -> None:
        for name in LogLevels.__struct_fields__:
            try:
                Levels.parse(getattr(self, name))
            except BadInput as error:
                raise BadInput(f"{name}: {error.message}", hint=error.hint) from error
        _check_interval(self.stats_interval)


class ProcessSettings(Rules, frozen=True, kw_only=True):
    """What every program can be told, whatever starts it."""

    domain: str = ""  #: with `name` what its messages and stats are filed under
    name: str = ""  #: in that domain
    workingdir: str = ""  #: default: the agent's `tmp` folder; of another user, their home
    env: dict[str, str] = {}  #: on top of the environment that every process gets
    user: str = ""  #: a user of the node; default: the agent's own
    memory: int | str | None = None  #: bytes, or "512M"; of the whole tree
    cpus: float | None = None  #: 0.5 is half of one CPU
    pids: int | None = None  #: processes and threads of the tree
    grace: float = GRACE_S  #: seconds between TERM and KILL
    stats_interval: float | None = None  #: seconds between looks at what it uses; default: as the node says, 30
    loglevels: LevelsWritten | None = None  #: of what it prints, which is taken at all; default: as the node says, "*"
    loglevels_db: LevelsWritten | None = None  #: of that, which is kept; default: as the node says, "1-9,11,20-30"
    loglevels_ac: LevelsWritten | None = None  #: and which is forwarded; default: as the node says, "3,4,7-9"

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
            raise BadInput("The user or the workingdir of a program holds a NUL byte, which no system takes.")

    @property
    def limits(self) -> Limits:
        """What its tree may use."""
        memory = None if self.memory is None else parse_size(self.memory)
        return Limits(memory_bytes=memory, cpus=self.cpus, pids=self.pids)

    def complete(self, usual: UsualSettings) -> UsualSettings:
        """Which of its messages go where and how often it is looked at: what it was told, else as `usual`."""
        own = {name: getattr(self, name) for name in UsualSettings.__struct_fields__}
        return msgspec.structs.replace(usual, **{name: value for name, value in own.items() if value is not None})


class ExecuteArguments(ProcessSettings, frozen=True, kw_only=True):
    """Of `execute`. Arguments are passed as they are: there is no shell."""

    cmd: str  #: the program, by its full path or found in PATH; `$agentroot`, `$root` and `$tmp` are replaced
    args: tuple[str, ...] = ()  #: each as it is


class ProcessStats(Struct, frozen=True, kw_only=True):
    """What a tree uses; sums over its processes."""

    id: str
    domain: str = ""
    name: str = ""
    processes: int = 0
    threads: int = 0
    descriptors: int = 0
    cpu: float = 0.0  #: per cent of one CPU
    cpu_s: float = 0.0  #: since it began; without cgroups only of those that run
    rss: int = 0  #: bytes, as are the next three
    vms: int = 0
    swap: int = 0
    memory: int | None = None  #: as its cgroup counts, page cache included
    read_bytes: int = 0
    written_bytes: int = 0


class ProcessesStats(Struct, frozen=True, kw_only=True):
    """The answer of `get_processes_stats`."""

    processes: tuple[ProcessStats, ...] = ()


class KilledAll(Struct, frozen=True, kw_only=True):
    """The answer of `killall`."""

    killed: int  #: processes that ran and were told to end


class Phase(StrEnum):
    """Where a supervised process is."""

    WAITING = "waiting"  #: it is to be started when it is due
    RUNNING = "running"
    ENDING = "ending"  #: it was told to end
    DONE = "done"  #: it is not started again


def parse_size(written: int | str) -> int:
    """Bytes in 1048576, "512M" or "1.5G" (powers of 1024); `BadInput` on anything else, and on none at all."""
    match = _SIZE.fullmatch(written.strip()) if isinstance(written, str) else None
    size = float(match[1]) * _UNITS[match[2].upper()] if match else written
    if isinstance(size, str) or not 1 <= size < INTEGER_LIMIT:
        hint = "Write a number, with K, M, G or T: 512M."
        raise BadInput(f"{repr(written)[:100]} is not a size in bytes.", hint=hint)
    return int(size)


def _check_interval(seconds: float) -> None:
    if not seconds > 0:
        raise BadInput(f"stats_interval is seconds, more than 0, not {seconds:g}.")


def program_line(words: Iterable[str]) -> str:
    """A program and its arguments as one would type them in a shell, with as few quotes as will do."""
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    if "'" not in word or set(word) & set('"$`\\!'):
        return shlex.quote(word)
    return f'"{word}"'
