"""docs/reference/module-format.md names every key of the manifest, and no other key."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from quarterdeck.model.manifests import (
    ColumnOverride,
    Manifest,
    MapSpec,
    ProbeKind,
    ProbeSpec,
    ReadMode,
    SettingSpec,
    TableSpec,
)
from quarterdeck.model.tables import ColumnRole

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "module-format.md").read_text()

SECTIONS: dict[str, type[msgspec.Struct]] = {
    "## module.toml": Manifest,
    "### `[[table]]`": TableSpec,
    "### `[table.columns.NAME]`": ColumnOverride,
    "### `[settings.NAME]`": SettingSpec,
    "### `[maps.NAME]`": MapSpec,
}


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_key_has_a_line(heading: str) -> None:
    section = PAGE.split(f"\n{heading}\n")[1].split("\n#")[0]
    documented = {
        key for cell in re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE) for key in re.findall(r"`(\w+)`", cell)
    }
    assert documented == {field.encode_name for field in msgspec.structs.fields(SECTIONS[heading])}


def test_every_kind_of_probe_and_each_of_its_keys_is_named() -> None:
    section = PAGE.split("\n### `[[probe]]`\n")[1].split("\n#")[0]
    names = {kind.value for kind in ProbeKind} | {field.encode_name for field in msgspec.structs.fields(ProbeSpec)}
    assert names - set(re.findall(r"`(\w+)`", section)) == set()


def test_every_role_and_way_to_read_is_named() -> None:
    assert {role.value for role in ColumnRole} | {mode.value for mode in ReadMode} <= set(re.findall(r"`(\w+)`", PAGE))
