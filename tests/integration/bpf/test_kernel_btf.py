"""The types of the running kernel, compared with what bpftool reads."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from quarterdeck.bpf.btf import (
    KERNEL_BTF,
    Array,
    Btf,
    BtfType,
    Composite,
    Enum,
    Function,
    Int,
    Kind,
    Modifier,
    Pointer,
    Prototype,
    Variable,
)
from quarterdeck.bpf.layout import FieldKind, layout_of_struct
from tests.support import require


def bpftool() -> str:
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    found = shutil.which("bpftool", path=path)
    require(found, "bpftool is not installed")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def kernel() -> Btf:
    require(KERNEL_BTF.exists(), "the kernel was built without BTF")
    return Btf.kernel()


def described(type_id: int, found: BtfType) -> dict[str, Any]:
    """What `bpftool -j btf dump` says of a type, as far as both say it."""
    shape: dict[str, Any]
    match found:
        case Int():
            shape = {"kind": "INT", "name": found.name, "size": found.size, "nr_bits": found.bits}
        case Pointer():
            shape = {"kind": "PTR", "type_id": found.target}
        case Array():
            shape = {"kind": "ARRAY", "type_id": found.element, "nr_elems": found.count}
        case Composite():
            members = [[member.name, member.type_id, member.bit_offset, member.bit_width] for member in found.members]
            shape = {"kind": found.kind.name, "name": found.name, "size": found.size, "members": members}
        case Enum():
            values = {name: value % (1 << 32) for name, value in found.values.items()}
            shape = {"kind": "ENUM", "name": found.name, "size": found.size, "signed": found.signed, "values": values}
        case Modifier():
            shape = {"kind": found.kind.name, "name": found.name, "type_id": found.target}
        case Function():
            shape = {"kind": "FUNC", "name": found.name, "type_id": found.target}
        case Prototype():
            parameters = [[parameter.name, parameter.type_id] for parameter in found.parameters]
            shape = {"kind": "FUNC_PROTO", "ret_type_id": found.returns, "params": parameters}
        case Variable():
            shape = {"kind": "VAR", "name": found.name, "type_id": found.target}
        case _:
            shape = {"id": type_id}
    return shape


def told(row: dict[str, Any]) -> dict[str, Any]:
    """One row of `bpftool -j btf dump`, in the shape of `described`."""
    name = "" if row.get("name") == "(anon)" else row.get("name", "")
    kind = "ENUM" if row["kind"] == "ENUM64" else row["kind"]
    shape: dict[str, Any] = {"kind": kind}
    if kind not in {"PTR", "ARRAY", "FUNC_PROTO"}:
        shape["name"] = name
    shape |= {key: row[key] for key in ("size", "nr_bits", "type_id", "nr_elems", "ret_type_id") if key in row}
    if "members" in row:
        shape["members"] = [
            ["" if m["name"] == "(anon)" else m["name"], m["type_id"], m["bits_offset"], m.get("bitfield_size", 0)]
            for m in row["members"]
        ]
    if kind == "ENUM":
        # bpftool 7.1 extends the sign of unsigned values, so only their low half is to be compared.
        shape["values"] = {value["name"]: value["val"] % (1 << 32) for value in row["values"]}
        shape["signed"] = row["encoding"] == "SIGNED"
    if "params" in row:
        shape["params"] = [["" if p["name"] == "(anon)" else p["name"], p["type_id"]] for p in row["params"]]
    return shape


def differences(btf: Btf, rows: list[dict[str, Any]]) -> Iterator[tuple[Any, Any]]:
    for row in rows:
        ours = described(row["id"], btf.type(row["id"]))
        theirs = told(row)
        if "id" not in ours and ours != theirs:
            yield ours, theirs


def test_every_type_of_the_kernel_is_what_bpftool_says(kernel: Btf) -> None:
    dumped = subprocess.run([bpftool(), "-j", "btf", "dump", "file", KERNEL_BTF], capture_output=True, check=True)
    rows = json.loads(dumped.stdout)["types"]
    assert len(kernel) == len(rows) + 1
    assert list(differences(kernel, rows))[:5] == []


def test_a_task_has_a_pid(kernel: Btf) -> None:
    type_id = kernel.find("task_struct", Kind.STRUCT)
    assert type_id is not None
    task = kernel.type(type_id)
    assert isinstance(task, Composite)
    (pid,) = [member for member in task.members if member.name == "pid"]
    assert kernel.spell(pid.type_id) == "pid_t"
    assert kernel.size(type_id) == task.size


def test_structs_of_the_kernel_have_layouts(kernel: Btf) -> None:
    layout = layout_of_struct(kernel, "trace_event_raw_sched_switch")
    assert layout.by_name["prev_comm"].kind is FieldKind.CHARS
    assert layout.by_name["prev_pid"].type_name == "pid_t"
    assert layout.tail is not None
    assert layout_of_struct(kernel, "tcp_sock").dtype().itemsize == kernel.size(kernel.find_composite("tcp_sock") or 0)
