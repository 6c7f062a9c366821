"""The changes by `[table.columns.NAME]`: name, type, role, unit and the other properties of one column.

A column is found by its name, or by its path in C (`key_pid` and `key.pid` both find `pid` of the key). This module
owns the meaning of each key of `ColumnOverride`; the name of a column that does not exist is an error.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from msgspec.structs import replace as changed

from quarterdeck.model.errors import BadManifest
from quarterdeck.model.manifests import ColumnOverride
from quarterdeck.model.modules import FieldKind
from quarterdeck.model.tables import ColumnRole, ColumnType
from quarterdeck.modulekit.columns import Draft, aliases
from quarterdeck.modulekit.conversions import NotConvertible, convert, is_whole_number
from quarterdeck.modulekit.families import with_family
from quarterdeck.modulekit.meanings import PID_AND_TID_NAMES, stack_side
from quarterdeck.modulekit.names import nearest

INLINE = "inline"  #: `stack = "inline"`: the addresses are in the record


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The context of the overrides for messages, and the stack maps and settings that they can name."""

    table: str
    stack_maps: Collection[str] = ()
    settings: Collection[str] = ()  #: settings that hold an integer

    def error(self, column: str, problem: str, hint: str = "") -> BadManifest:
        return BadManifest(f"module.toml: column '{column}' of table '{self.table}': {problem}.", hint=hint)


def apply_overrides(drafts: list[Draft], overrides: Mapping[str, ColumnOverride], place: Place) -> list[Draft]:
    """Return the columns with the manifest's changes, without hidden ones. Raise `BadManifest` if one is invalid."""
    by_name = {alias: index for index, draft in reversed(list(enumerate(drafts))) for alias in aliases(draft)}
    by_name |= {draft.column.name: index for index, draft in enumerate(drafts)}
    result: list[Draft | None] = list(drafts)
    for name, override in overrides.items():
        if name not in by_name:
            known = [draft.column.name for draft in drafts]
            raise place.error(name, "there is no such column", nearest(name, known))
        index = by_name[name]
        result[index] = None if override.hide else _overridden(drafts[index], name, override, place)
        if (changed_draft := result[index]) is not None:
            result[index] = with_family(changed_draft, drafts, override.family, place.error)
    defined = {by_name[name] for name, override in overrides.items() if override.type or override.stack}
    undefined = {draft.path for index, draft in enumerate(drafts) if index not in defined}
    kept = _infer_stacks([draft for draft in result if draft is not None], undefined, place.stack_maps)
    _check_names(kept, place)
    return [_with_stack_pid(draft, kept, overrides, place) if draft.field.stack_pid else draft for draft in kept]


def _overridden(draft: Draft, name: str, override: ColumnOverride, place: Place) -> Draft:
    draft = _retyped(draft, name, override, place)
    column, field = draft.column, draft.field
    named_time = draft.path.rpartition(".")[2] == "time" and column.type is ColumnType.TIMESTAMP and not override.name
    role = override.role or (ColumnRole.TIME if named_time else column.role)
    new_name = "time" if role is ColumnRole.TIME else override.name or column.name
    column = changed(
        column,
        name=new_name,
        role=role,
        description=column.description if override.description is None else override.description,
        values=column.values if override.values is None else override.values,
        histogram=column.histogram if override.histogram is None else override.histogram,
    )
    if override.histogram and column.type is not ColumnType.LIST:
        raise place.error(name, f"only a list can be a histogram, and this is {column.type}")
    if override.join is not None:
        if field.kind not in {FieldKind.CHARS, FieldKind.TAIL}:
            raise place.error(name, f"only text can be joined, and this is {column.type}")
        field = changed(field, join=override.join)
    if override.counter is not None:
        field = changed(field, additive=override.counter, stated=True)
    return replace(draft, column=column, field=changed(field, column=new_name))


def _retyped(draft: Draft, name: str, override: ColumnOverride, place: Place) -> Draft:
    """Return the draft with the type that `type`, `clock`, `values`, `role` or `stack` define, read in its `unit`."""
    if override.stack is not None:
        return _as_stack(draft, name, override, place)
    wanted = override.type
    if wanted is None:
        is_time = override.clock is not None or override.role is ColumnRole.TIME
        wanted = ColumnType.TIMESTAMP if is_time else ColumnType.ENUM if override.values else None
    column, field = draft.column, draft.field
    if override.unit is not None:
        column = changed(column, unit=override.unit)
    if wanted is not None:
        try:
            column, field = convert(column, field, wanted)
        except NotConvertible as error:
            raise place.error(name, str(error)) from None
    if wanted is ColumnType.ENUM and not (override.values or column.values):
        raise place.error(name, "an enum needs names", 'Add values = { 0 = "…", 1 = "…" }.')
    if column.type is ColumnType.TIMESTAMP and override.clock is not None:
        field = changed(field, clock=override.clock)
    if override.big_endian is not None:
        field = changed(field, big_endian=override.big_endian)
    return replace(draft, column=column, field=field)


def _as_stack(draft: Draft, name: str, override: ColumnOverride, place: Place) -> Draft:
    stack = override.stack or ""
    if stack != INLINE and stack not in place.stack_maps:
        raise place.error(
            name, f"expected a stack-trace map of the program, found '{stack}'", nearest(stack, place.stack_maps)
        )
    if stack == INLINE and not _is_addresses(draft):
        raise place.error(name, f"an inline stack is an array of 8-byte addresses, and this is {draft.column.type}")
    if stack != INLINE and not is_whole_number(draft.field):
        raise place.error(name, f"a stack id is a whole number, and this is {draft.column.type}")
    if isinstance(override.stack_pid, int):
        if override.stack_pid <= 0:
            raise place.error(name, f"stack_pid must be the id of a process, found {override.stack_pid}")
        owned = replace(draft, field=changed(draft.field, stack_owner=override.stack_pid))
        return _stacked(owned, "" if stack == INLINE else stack, "")
    return _stacked(draft, "" if stack == INLINE else stack, override.stack_pid or "")


def _stacked(draft: Draft, stack_map: str, stack_pid: str) -> Draft:
    """Return the stack id, or without a map the addresses, as a list of frames.

    `stack_pid` names the process id's column.
    """
    column = changed(
        draft.column,
        type=ColumnType.LIST,
        item=ColumnType.STRING,
        role=ColumnRole.STACK,
        values={},
        histogram="",
        unit="",
    )
    field = changed(draft.field, kind=FieldKind.STACK, stack=stack_map, stack_pid=stack_pid, additive=False)
    return replace(draft, column=column, field=field)


def _infer_stacks(drafts: list[Draft], undefined: Collection[str], stack_maps: Collection[str]) -> list[Draft]:
    """Return the columns with stacks recognised by name, such as `kern_stack_id` and `user_stack`, as frames.

    Ids are recognised if the program has exactly one stack map. `undefined` are the paths of the columns whose type the
    manifest does not define.
    """
    stack_map = next(iter(stack_maps)) if len(stack_maps) == 1 else ""
    pid = next((draft.column.name for draft in drafts if draft.column.role is ColumnRole.PID), "")
    pid = pid or next((d.column.name for d in drafts if d.path.rpartition(".")[2] in PID_AND_TID_NAMES), "")
    result: list[Draft] = []
    for draft in drafts:
        inline = _is_addresses(draft)
        open_stack = draft.path in undefined and (inline or (stack_map and is_whole_number(draft.field)))
        side = stack_side(draft.path.rpartition(".")[2]) if open_stack else ""
        known = side == "kernel" or (side == "user" and pid)
        result.append(_stacked(draft, "" if inline else stack_map, pid if side == "user" else "") if known else draft)
    return result


def _is_addresses(draft: Draft) -> bool:
    return draft.field.kind is FieldKind.ARRAY and draft.field.size == 8 and not draft.field.floating


def _check_names(drafts: list[Draft], place: Place) -> None:
    names = [draft.column.name for draft in drafts]
    for index, name in enumerate(names):
        if names.index(name) != index:
            raise place.error(name, "two columns have this name", "Give one of them another, or hide it.")


def _with_stack_pid(draft: Draft, drafts: list[Draft], overrides: Mapping[str, ColumnOverride], place: Place) -> Draft:
    """Return `stack_pid` as a column by its final name (any of the column's names is accepted) or as a setting."""
    wanted = draft.field.stack_pid
    renamed = {name: override.name for name, override in overrides.items() if override.name}
    final = renamed.get(wanted, wanted)
    names = [other.column.name for other in drafts]
    if final not in names and wanted in place.settings:
        return replace(draft, field=changed(draft.field, stack_pid="", stack_setting=wanted))
    if final not in names:
        problem = f"stack_pid names no column that is kept and no setting that is a number: '{wanted}'"
        raise place.error(draft.column.name, problem, nearest(wanted, [*names, *place.settings]))
    return replace(draft, field=changed(draft.field, stack_pid=final))
