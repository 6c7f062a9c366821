"""The build of the web UI: what counts as a change of its sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.ui import digest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "src" / "kit").mkdir(parents=True)
    (tmp_path / "src" / "page.ts").write_text("1")
    return tmp_path


def test_a_changed_renamed_or_added_source_is_a_change(folder: Path) -> None:
    found = {digest(folder)}
    (folder / "src" / "page.ts").write_text("2")
    found.add(digest(folder))
    (folder / "src" / "page.ts").rename(folder / "src" / "other.ts")
    found.add(digest(folder))
    (folder / "package.json").write_text("{}")
    found.add(digest(folder))
    assert len(found) == 4


def test_what_is_installed_built_or_generated_is_none(folder: Path) -> None:
    before = digest(folder)
    for name in ("node_modules/a/index.js", "dist/index.html", "src/kit/openapi.d.ts"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("anything")
    assert digest(folder) == before
