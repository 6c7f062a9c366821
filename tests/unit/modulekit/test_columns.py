"""Columns of C layouts: names, types and offsets for all kinds of structs."""

from __future__ import annotations

from typing import Any

import pytest

from quarterdeck.bpf.layout import Field as Member
from quarterdeck.bpf.layout import FieldKind as Kind
from quarterdeck.bpf.layout import Layout
from quarterdeck.model.errors import BadManifest
from quarterdeck.model.manifests import ColumnOverride
from quarterdeck.model.modules import FieldKind
from quarterdeck.model.tables import ColumnRole, ColumnType
from quarterdeck.modulekit.columns import Draft, distinct, draft_columns
from quarterdeck.modulekit.overrides import Place, apply_overrides

PLACE = Place(table="t", stack_maps=("stacks",))


def member(name: str, kind: Kind = Kind.UINT, *, offset: int = 0, size: int = 4, **more: Any) -> Member:
    return Member(
        path=tuple(name.split(".")) if name else (), kind=kind, offset=offset, size=size, type_name="u32", **more
    )


def layout(*members: Member) -> Layout:
    return Layout("s", max((m.offset + m.size for m in members), default=0), members)


def names(drafts: list[Draft]) -> list[str]:
    return [draft.column.name for draft in drafts]


def test_names_are_paths_in_lower_case() -> None:
    drafts = distinct(draft_columns(layout(member("addr.V4"), member("__x"), member("9lives"), member("a-b"))))
    assert names(drafts) == ["addr_v4", "x", "c_9lives", "a_b"]


def test_a_value_gives_way_to_the_key() -> None:
    key, value = layout(member("pid"), member("cpu")), layout(member("pid"), member("n"))
    assert names(distinct(draft_columns(key, part="key") + draft_columns(value, part="value", offset=8))) == [
        "pid",
        "cpu",
        "value_pid",
        "n",
    ]


def test_plain_keys_and_values_have_names() -> None:
    drafts = draft_columns(layout(member("")), part="key") + draft_columns(layout(member("")), part="value", offset=4)
    assert names(distinct(drafts)) == ["key", "value"]
    assert [draft.field.offset for draft in drafts] == [0, 4]
    assert [draft.field.additive for draft in drafts] == [False, True]


def test_reserved_and_repeated_column_names_are_changed() -> None:
    drafts = distinct(draft_columns(layout(member("time"), member("gid"), member("a.b"), member("a_b"))))
    assert names(drafts) == ["row_time", "row_gid", "a_b", "a_b_2"]


def test_slots_are_a_histogram() -> None:
    draft = draft_columns(layout(member("slots", Kind.ARRAY, size=32, count=8, element=Kind.UINT)))[0]
    assert (draft.column.type, draft.column.item, draft.column.histogram) == (
        ColumnType.LIST,
        ColumnType.UINT32,
        "log2",
    )
    assert (draft.field.kind, draft.field.size, draft.field.count) == (FieldKind.ARRAY, 4, 8)


def test_a_few_texts_are_columns_and_many_are_bytes() -> None:
    few = draft_columns(layout(member("args", Kind.ARRAY, size=24, count=3, element=Kind.CHARS)))
    assert names(few) == ["args_0", "args_1", "args_2"]
    many = draft_columns(layout(member("args", Kind.ARRAY, size=800, count=100, element=Kind.CHARS)))
    assert [(d.column.type, d.field.size) for d in many] == [(ColumnType.BINARY, 800)]


def test_bit_fields_take_the_smallest_type() -> None:
    drafts = draft_columns(layout(member("a", Kind.BITFIELD, width=3), member("b", Kind.BITFIELD, shift=3, width=12)))
    assert [draft.column.type for draft in drafts] == [ColumnType.UINT8, ColumnType.UINT16]


def test_of_two_names_for_one_number_the_first_stands() -> None:
    draft = draft_columns(layout(member("k", Kind.ENUM, enum={"A": 0, "ALIAS": 0, "B": 1})))[0]
    assert draft.column.values == {"0": "A", "1": "B"}


def overridden(override: ColumnOverride, of: Member, name: str = "x") -> Draft:
    return apply_overrides(distinct(draft_columns(layout(of))), {name: override}, PLACE)[0]


def test_a_role_of_time_makes_the_time_column() -> None:
    draft = overridden(ColumnOverride(role=ColumnRole.TIME, clock="boottime"), member("x", size=8))
    assert (draft.column.name, draft.column.type, draft.field.clock) == ("time", ColumnType.TIMESTAMP, "boottime")


def test_a_member_called_time_is_the_time_once_it_is_a_moment() -> None:
    draft = overridden(ColumnOverride(type=ColumnType.TIMESTAMP), member("time", size=8), "time")
    assert (draft.column.name, draft.column.role) == ("time", ColumnRole.TIME)


def test_names_for_values_make_an_enum() -> None:
    draft = overridden(ColumnOverride(values={"1": "ONE"}), member("x"))
    assert (draft.column.type, draft.column.values) == (ColumnType.ENUM, {"1": "ONE"})


def test_a_column_is_found_by_its_path_too() -> None:
    drafts = distinct(draft_columns(layout(member("pid")), part="key"))
    for name in ("pid", "key_pid", "key.pid"):
        assert apply_overrides(drafts, {name: ColumnOverride(unit="u")}, PLACE)[0].column.unit == "u"


def test_two_columns_cannot_share_a_name() -> None:
    drafts = distinct(draft_columns(layout(member("a"), member("b"))))
    with pytest.raises(BadManifest, match="two columns have this name"):
        apply_overrides(drafts, {"a": ColumnOverride(name="b")}, PLACE)


def test_a_stack_names_the_process_by_its_final_name() -> None:
    drafts = distinct(draft_columns(layout(member("tgid"), member("stack"))))
    overrides = {"tgid": ColumnOverride(name="pid"), "stack": ColumnOverride(stack="stacks", stack_pid="tgid")}
    found = {draft.column.name: draft for draft in apply_overrides(drafts, overrides, PLACE)}
    assert (found["stack"].field.kind, found["stack"].field.stack_pid) == (FieldKind.STACK, "pid")
    assert (found["stack"].column.item, found["stack"].column.role) == (ColumnType.STRING, ColumnRole.STACK)
    with pytest.raises(BadManifest, match="stack_pid names no column that is kept"):
        apply_overrides(drafts, {"stack": ColumnOverride(stack="stacks", stack_pid="process")}, PLACE)


def test_what_is_hidden_is_gone() -> None:
    drafts = distinct(draft_columns(layout(member("a"), member("b"))))
    assert names(apply_overrides(drafts, {"a": ColumnOverride(hide=True)}, PLACE)) == ["b"]


def test_a_64_bit_enum_is_a_string_with_its_names() -> None:
    large = member("state", Kind.ENUM, size=8, enum={"SMALL": 1, "ALIAS": 1, "LARGE": 1 << 40})
    (draft,) = draft_columns(layout(large))
    assert draft.column.type is ColumnType.STRING
    assert draft.column.values == {"1": "SMALL", str(1 << 40): "LARGE"}
    as_number = overridden(ColumnOverride(type=ColumnType.UINT64), large, "state")
    assert (as_number.column.type, as_number.column.values) == (ColumnType.UINT64, {})
