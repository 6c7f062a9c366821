"""Warnings at build time about modules that work, but perhaps not as their author intends.

It owns the warnings about tables that no program fills, maps from which nothing is deleted, numbers that are not
counters, and programs that never run. It never refuses a module.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from quarterdeck.bpf.declarations import ObjectFile
from quarterdeck.bpf.uapi import MapType
from quarterdeck.model.manifests import Manifest, ReadMode, enabled_programs
from quarterdeck.model.modules import FieldKind, SourceKind, TableSource
from quarterdeck.modulekit.meanings import is_gauge
from quarterdeck.modulekit.programs import ProgramDeclaration
from quarterdeck.modulekit.writers import keeps

_FILLING = frozenset({MapType.HASH, MapType.PERCPU_HASH, MapType.LPM_TRIE})
_NUMBERS = frozenset({FieldKind.SCALAR, FieldKind.ARRAY, FieldKind.BITS})
_DEFAULT_ENTRIES = 10240  # the agent's default for a map without a size


def advice(
    manifest: Manifest, sources: Sequence[TableSource], *, opened: ObjectFile, programs: Sequence[ProgramDeclaration]
) -> list[str]:
    """Return warnings for the author of a module, as sentences."""
    counted = [each for each in sources if each.kind is not SourceKind.RECORDS and each.read is ReadMode.DELTAS]
    return [
        *_asleep(manifest, sources, programs),
        *_never_filled(sources),
        *(text for source in counted for text in _filling(source, manifest, opened, programs)),
        *(text for source in counted for text in _gauges(source)),
    ]


def _asleep(
    manifest: Manifest, sources: Iterable[TableSource], programs: Sequence[ProgramDeclaration]
) -> Iterator[str]:
    """Return warnings about programs that are never loaded although the manifest does not disable them."""
    named, read = enabled_programs(manifest), {source.iterator for source in sources}
    off = [each.name for each in programs if each.section.startswith("?") and each.name not in named]
    if off:
        yield (
            f"not loaded, because their sections begin with '?': {', '.join(off)}. To load one, name it in a "
            "[[probe]], in alternatives or in optional"
        )
    unread = [each.name for each in programs if each.kind == "iter" and each.name not in read]
    if unread:
        yield f"not loaded, because no table is read from these iterators: {', '.join(unread)}"


def _never_filled(sources: Iterable[TableSource]) -> Iterator[str]:
    """Return warnings about tables that no program fills."""
    for source in sources:
        if not source.writers:
            yield (
                f"table '{source.table.name}' would stay empty, so the module will not run: no loaded program "
                f"uses its source"
            )


def _filling(
    source: TableSource, manifest: Manifest, opened: ObjectFile, programs: Iterable[ProgramDeclaration]
) -> Iterator[str]:
    """Return warnings about hash maps from which nothing is ever deleted."""
    for name in source.maps:
        declared = opened.maps.get(name)
        if declared is None or declared.type not in _FILLING or not keeps(declared, programs):
            continue
        spec = manifest.maps.get(name)
        entries = (spec and spec.max_entries) or declared.max_entries or _DEFAULT_ENTRIES
        if 8 * declared.key_size < entries.bit_length():
            continue  # it has space for every possible key
        yield (
            f"table '{source.table.name}': no program deletes from map '{name}', so it fills up; when {entries:,} keys "
            f'are in it, new ones are lost (map_full). read = "drain" empties it at each read; a '
            f"BPF_MAP_TYPE_LRU_HASH evicts keys to make space"
        )


def _gauges(source: TableSource) -> Iterator[str]:
    """Return warnings about counters whose names are those of gauges."""
    names = [
        field.column
        for field in source.fields
        if field.kind in _NUMBERS and not (field.additive or field.stated) and is_gauge(field.column)
    ]
    if names and any(field.additive for field in source.fields):
        yield (
            f"table '{source.table.name}': these columns have names of gauges, so their rows hold values and not "
            f"increases: {', '.join(names)}. Set counter = true or counter = false in [table.columns.NAME]"
        )
