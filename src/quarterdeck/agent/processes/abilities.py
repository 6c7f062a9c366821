"""The resource limits that can be enforced on this host. Each is tried, as the agent does when it starts."""

from __future__ import annotations

import os
from pathlib import Path

from quarterdeck.agent.processes.cgroups import Cgroups
from quarterdeck.bpf.features import Feature
from quarterdeck.model.errors import Unavailable

#: a limit, the controller that enforces it, and what does not work without it
_LIMITS = (
    ("memory limits", "memory", "a program with `memory` is refused"),
    ("cpu limits", "cpu", "a program with `cpus` is refused"),
    ("process limits", "pids", "a program with `pids` is refused"),
)


def survey() -> list[Feature]:
    """Return whether each limit can be enforced. Leaves nothing behind."""
    cgroups = Cgroups.detect(Path(f"/doctor-{os.getpid()}"))
    try:
        return [_judge(cgroups, *limit) for limit in _LIMITS]
    finally:
        cgroups.leave()


def _judge(cgroups: Cgroups, name: str, controller: str, costs: str) -> Feature:
    try:
        return Feature(name, ok=True, detail=cgroups.check(controller), costs=costs)
    except Unavailable as error:
        return Feature(name, ok=False, detail=str(error), costs=costs)
