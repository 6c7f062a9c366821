"""The C struct of the records of a ring or perf buffer: that of `row`, that of the map, or the only suitable one.

It owns this choice and its check against the sizes that the program sends (`sends`): a struct that is certainly wrong
is refused, and one that is probably wrong causes a warning. It never reads columns; `columns` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from quarterdeck.bpf.declarations import ObjectFile
from quarterdeck.bpf.errors import BpfError
from quarterdeck.bpf.layout import FieldKind as MemberKind
from quarterdeck.bpf.layout import Layout, layout_of
from quarterdeck.bpf.uapi import MapType
from quarterdeck.model.errors import BadManifest
from quarterdeck.model.manifests import TableSpec
from quarterdeck.modulekit.meanings import is_event
from quarterdeck.modulekit.sends import sent_sizes

BYTES = frozenset({MemberKind.CHARS, MemberKind.BYTES})
_LISTED = 12  # number of candidates that are listed


class Rows:
    """The search for the structs of records in one object. `warnings` are about structs that are probably wrong."""

    def __init__(
        self, opened: ObjectFile, types: Sequence[str], named: Callable[[TableSpec, str, str], Layout]
    ) -> None:
        """Take the context of the search.

        `types` are the structs that the module's C defines; `named` returns the layout of one, or raises an error.
        """
        self._object = opened
        self._types = types
        self._named = named
        self._sizes = sent_sizes(opened)
        self.warnings: list[str] = []

    def layout(self, spec: TableSpec, buffers: Sequence[str]) -> Layout:
        """Return the layout of the records of `buffers`. Raise `BadManifest` if none is named and none is certain."""
        sizes = frozenset[int]().union(*(self._sizes.get(name, ()) for name in buffers))
        if spec.row:
            layout = self._named(spec, "row", spec.row)
            _refuse_short(spec, layout, sizes)
        else:
            layout = self._declared(buffers) or self._likely(spec, sizes)
        if sizes and not spec.when and max(sizes) > layout.size and layout.tail is None:
            self.warnings.append(
                f"records of {max(sizes)} bytes are sent to '{buffers[0]}', of which table '{spec.name}' reads "
                f"{layout.size}: {layout.type_name} may be the wrong struct, or one of several (then say `when`)"
            )
        return layout

    def _declared(self, buffers: Sequence[str]) -> Layout | None:
        for name in (each for each in buffers if each in self._object.maps):
            value_type = self._object.maps[name].value_type
            if value_type is not None and self._object.maps[name].type == MapType.RINGBUF:
                return layout_of(self._object.btf, value_type)
        return None

    def _likely(self, spec: TableSpec, sizes: frozenset[int]) -> Layout:
        """Return the struct called `event`, or the only one that looks like an event, whose size the programs send."""
        own = [name for name in self._types if is_event(name) and self._object.btf.find_composite(name) is not None]
        every = list(dict.fromkeys([*own, *self._object.candidate_event_structs()]))
        layouts = dict(self._layouts(spec, every))
        fitting = [name for name in layouts if _fits(layouts[name], sizes)]
        sure = [name for name in fitting if layouts[name].size in sizes]
        for names in ([name for name in own if name in fitting], sure, fitting):
            if "event" in names or len(names) == 1:
                chosen = "event" if "event" in names else names[0]
                self._doubt(spec, chosen, sizes)
                return layouts[chosen]
        listed = ", ".join(list(dict.fromkeys([*fitting, *every, *self._types]))[:_LISTED]) or "none"
        raise BadManifest(
            f"module.toml: table '{spec.name}' does not say which C struct the records of '{spec.from_}'"
            f"{_of_bytes(sizes)} are.",
            hint=f'Add row = "NAME" to it; candidates: {listed}.',
        )

    def _layouts(self, spec: TableSpec, names: Sequence[str]) -> Iterator[tuple[str, Layout]]:
        for name in names:
            with suppress(BpfError):  # a struct that cannot be a record
                yield name, self._named(spec, "row", name)

    def _doubt(self, spec: TableSpec, chosen: str, sizes: frozenset[int]) -> None:
        """Warn about a struct that was chosen only by its name in a prebuilt object."""
        if not sizes and chosen not in self._types:
            self.warnings.append(
                f"the records of table '{spec.name}' are taken as struct {chosen}; set row = \"{chosen}\" to confirm"
            )


def least_size(layout: Layout) -> int:
    """Return the least size of a record in bytes: programs may send only the used part of an array at the end.

    Some do this with a text or bytes that make up most of the record, even if other members follow.
    """
    if not layout.fields:
        return layout.size
    last = max(layout.fields, key=lambda member: member.offset)
    if last.kind in {*BYTES, MemberKind.ARRAY}:
        return last.offset or layout.size
    largest = max(layout.fields, key=lambda member: member.size)
    mostly = largest.kind in BYTES and 2 * largest.size > layout.size
    return largest.offset if mostly and largest.offset else layout.size


def _fits(layout: Layout, sizes: frozenset[int]) -> bool:
    """Return whether records of one of the sizes can have this struct."""
    most = max(sizes, default=0) if layout.tail is not None else layout.size
    return not sizes or any(least_size(layout) <= size <= most for size in sizes)


def _refuse_short(spec: TableSpec, layout: Layout, sizes: frozenset[int]) -> None:
    least = layout.size if layout.tail is not None else least_size(layout)
    if sizes and max(sizes) < least:
        raise BadManifest(
            f"module.toml: table '{spec.name}': row '{spec.row}' has {layout.size} bytes, but the records of "
            f"'{spec.from_}' are shorter{_of_bytes(sizes)}.",
            hint="Name the struct that the program sends.",
        )


def _of_bytes(sizes: frozenset[int]) -> str:
    return f" ({' or '.join(map(str, sorted(sizes)))} bytes)" if sizes else ""
