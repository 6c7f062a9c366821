"""Programs in the styles found in the wild build from a few lines of manifest, mean what they should, and load.

Each folder of programs/ is a module; its columns.txt says which columns its tables must have and where they are read.
QD_WRITE_GOLDEN=1 writes those files anew, for review.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from quarterdeck.bpf.object import BpfObject
from quarterdeck.bpf.uapi import MapType
from quarterdeck.model.modules import Field, TableSource
from quarterdeck.model.tables import Column
from quarterdeck.modulekit.build import Built, build_module
from quarterdeck.modulekit.folder import read_folder
from quarterdeck.testing.module_run import ModuleRun

PROGRAMS = sorted(path.parent for path in Path(__file__).parent.glob("programs/*/module.toml"))


@pytest.fixture(params=PROGRAMS, ids=lambda folder: folder.name)
def folder(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def built(folder: Path) -> Built:
    return build_module(read_folder(folder))


def test_columns_are_as_written_down(folder: Path, built: Built) -> None:
    golden = folder / "columns.txt"
    found = "\n".join(_described(source) for source in built.build.sources)
    if os.environ.get("QD_WRITE_GOLDEN") == "1":
        golden.write_text(found)
    assert found == golden.read_text()


@pytest.mark.usefixtures("may_load")
def test_loads(folder: Path, built: Built) -> None:
    image = built.artefacts[built.build.object.sha256]
    with BpfObject.open(image, name=folder.name) as opened:
        for each in opened.maps.values():
            if each.type is MapType.STACK_TRACE:
                each.value_size = each.value_size or 127 * 8
        opened.load_tolerant()
        loaded = {program.name for program in opened.programs.values() if program.loaded}
        assert set(opened.programs) == set(built.build.programs)
        for source in built.build.sources:
            assert loaded & set(source.writers), f"nothing fills {source.table.name}"


@pytest.mark.usefixtures("may_load")
def test_a_user_stack_is_of_the_process_that_pid_tgid_names() -> None:
    folder = Path(__file__).parent / "programs" / "waits"
    with ModuleRun(folder, settings={"only_pid": os.getpid()}, interval_s=0.1) as run:
        time.sleep(0.001)
        row = run.wait_for("waits", lambda row: row["calls"] > 0)
    assert row["pid_tgid"] >> 32 == os.getpid()
    assert any("nanosleep" in frame for frame in row["user_stack_id"]), row


def test_is_the_same_every_time(folder: Path, built: Built) -> None:
    assert build_module(read_folder(folder)).build == built.build


def _described(source: TableSource) -> str:
    fields = {field.column: field for field in source.fields}
    head = f"{source.table.name}: {source.kind} {', '.join(source.maps)} by {', '.join(source.writers)}"
    sizes = f"  record {source.record_size} (at least {source.min_size}), key {source.key_size}"
    place = f", element 0 of {source.count} at {source.offset}" if source.kind == "global" else ""
    lines = [_column(column, fields.get(column.name)) for column in source.table.columns]
    return "\n".join([head, sizes + place, *lines]) + "\n"


def _column(column: Column, field: Field | None) -> str:
    kind = f"{column.type}<{column.item}>" if column.item else str(column.type)
    said = [column.unit, f"role {column.role}" if column.role else "", column.histogram]
    said += [f"{number}={name}" for number, name in column.values.items()]
    if field is not None:
        said.append(f"[{field.kind} {field.offset}+{field.size}" + (f"x{field.count}" if field.count > 1 else ""))
        said += [name for name in ("signed", "floating", "big_endian", "additive") if getattr(field, name)]
        said += [f"bits {field.shift}+{field.width}" if field.width else "", field.clock]
        said += [f"in {field.scale} ns" if field.scale != 1 else ""]
        said += [f"stack {field.stack} {field.stack_pid}".strip() if field.kind == "stack" else ""]
        said += [f"joined by {field.join!r}" if field.join else ""]
        said[-1] += "]"
    return " ".join(["   ", f"{column.name}: {kind}", *(word for word in said if word)]).replace(" ]", "]")
