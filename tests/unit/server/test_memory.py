"""Memory limits of stores and queries: the configured ones, or less on a small machine or in a cgroup."""

from __future__ import annotations

from pathlib import Path

import pytest

from quarterdeck.model.config import ServerConfig
from quarterdeck.server.memory import Memory, available_bytes

GB = 10**9


def test_a_large_machine_gives_what_is_wanted() -> None:
    memory = Memory.of(ServerConfig(store_memory_bytes=2 * GB, query_memory_bytes=GB), 64 * GB)
    assert (memory.store_bytes, memory.query_bytes) == (2 * GB, GB)


def test_a_small_one_gives_less_and_leaves_the_server_most() -> None:
    memory = Memory.of(ServerConfig(), GB)
    assert memory.store_bytes + 4 * 4 * memory.answer_bytes < 0.7 * GB
    assert memory.query_bytes < memory.store_bytes
    assert 10 * memory.insert_bytes < memory.store_bytes


def test_a_store_elsewhere_has_its_own_memory() -> None:
    memory = Memory.of(ServerConfig(telemetry_url="http://store:8123", query_memory_bytes=8 * GB), GB)
    assert memory.query_bytes == 8 * GB
    assert memory.answer_bytes < GB / 50


@pytest.mark.parametrize(
    ("membership", "limits", "expected"),
    [
        ("0::/a/b\n", {"a/b/memory.max": "max", "a/memory.max": "1000"}, 1000),
        ("0::/a/b\n", {"a/b/memory.max": "500", "a/memory.max": "1000"}, 500),
        ("0::/\n", {"memory.max": "700"}, 700),
        ("0::/../../elsewhere\n", {"memory.max": "700"}, 700),
        ("4:memory:/a\n0::/\n", {"memory/a/memory.limit_in_bytes": "900"}, 900),
        ("4:cpu,memory:/a\n", {"memory/memory.limit_in_bytes": "800"}, 800),
    ],
)
def test_the_tightest_cgroup_on_the_way_counts(
    tmp_path: Path, membership: str, limits: dict[str, str], expected: int
) -> None:
    for name, text in limits.items():
        (tmp_path / "fs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "fs" / name).write_text(text + "\n")
    (tmp_path / "cgroup").write_text(membership)
    assert available_bytes(tmp_path / "fs", tmp_path / "cgroup") == expected


def test_without_limits_the_machine_counts(tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text("4:memory:/a\n0::/\n")
    (tmp_path / "memory/a").mkdir(parents=True)
    (tmp_path / "memory/a/memory.limit_in_bytes").write_text("9223372036854771712\n")
    whole = available_bytes(tmp_path / "none", tmp_path / "none")
    assert available_bytes(tmp_path, tmp_path / "cgroup") == whole > 10**8
