"""A memory cgroup of one test's own, on systems that have one to give: what is in it is killed when it takes more."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from tests.fleet import eventually

_ROOT = Path("/sys/fs/cgroup")


@contextmanager
def memory_group(limit_bytes: int) -> Generator[Path]:
    """The group's `cgroup.procs`: whoever writes its id there is held to the limit. Nothing may be left in it."""
    first = (_ROOT / "memory").is_dir()
    group = (_ROOT / "memory" if first else _ROOT) / f"qd-test-{uuid4().hex[:12]}"
    try:
        if not first:
            (_ROOT / "cgroup.subtree_control").write_text("+memory")
        group.mkdir()
        (group / ("memory.limit_in_bytes" if first else "memory.max")).write_text(str(limit_bytes))
    except OSError as error:
        pytest.skip(f"no memory cgroup can be made here: {error}")
    try:
        yield group / "cgroup.procs"
    finally:
        eventually(lambda: _removed(group), f"{group} to be empty")


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:
        return False
    return True
