"""The rules that a manifest must meet independently of its program: names, durations, complete probes.

Each violation has its place (a path of keys and indexes into the manifest) and a hint. It does not parse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from quarterdeck.model.durations import parse_duration
from quarterdeck.model.errors import BadInput, BadManifest
from quarterdeck.model.manifests import ColumnOverride, Manifest, ProbeKind, ProbeSpec, TableSpec
from quarterdeck.model.tables import NAME_PATTERN, SERVER_COLUMNS

MAX_TABLES = 64
MIN_INTERVAL_S = 0.01
MAX_INTERVAL_S = 3600.0

Path = tuple[str | int, ...]

#: the keys that each kind of probe requires
_NEEDED = {
    ProbeKind.UPROBE: ("binary", "target"),
    ProbeKind.URETPROBE: ("binary", "target"),
    ProbeKind.USDT: ("binary", "target"),
    ProbeKind.PERF_EVENT: (),
    ProbeKind.TC: (),
    ProbeKind.XDP: (),
    ProbeKind.CGROUP: (),
    ProbeKind.SOCKET_FILTER: (),
}

_RESERVED = frozenset(column.name for column in SERVER_COLUMNS)


def problems(manifest: Manifest) -> Iterator[tuple[Path, BadManifest]]:
    """Yield the problems of a manifest whose types are valid, in order."""
    if not NAME_PATTERN.fullmatch(manifest.name):
        yield ("name",), _bad_name(manifest.name, "module")
    if not manifest.table:
        yield (
            (),
            BadManifest("there is no [[table]].", hint="A module fills at least one; say where from: from = 'events'."),
        )
    if len(manifest.table) > MAX_TABLES:
        yield ("table",), BadManifest(f"there are {len(manifest.table)} tables, more than {MAX_TABLES}.")
    names = [table.name for table in manifest.table]
    for index, table in enumerate(manifest.table):
        if names.index(table.name) != index:
            yield ("table", index, "name"), BadManifest(f"there are two tables named '{table.name}'.")
        for key, problem in _table_problems(table):
            yield ("table", index, *key), problem
    for index, probe in enumerate(manifest.probe):
        for key, problem in _probe_problems(probe):
            yield ("probe", index, key), problem


def _bad_name(name: str, what: str) -> BadManifest:
    return BadManifest(
        f"'{name}' is not a name for a {what}.",
        hint="A name is 1 to 63 of a–z, 0–9 and _, and starts with a letter.",
    )


def _table_problems(table: TableSpec) -> Iterator[tuple[Path, BadManifest]]:
    if not NAME_PATTERN.fullmatch(table.name):
        yield ("name",), _bad_name(table.name, "table")
    if not table.from_ or not all(map(str, table.from_)):
        yield ("from",), BadManifest("expected the name of a map or of a global variable, found nothing.")
    for key in ("interval", "retention"):
        try:
            seconds = parse_duration(getattr(table, key))
        except BadInput as error:
            yield (key,), BadManifest(error.message, hint=error.hint)
            continue
        if key == "interval" and not MIN_INTERVAL_S <= seconds <= MAX_INTERVAL_S:
            yield (key,), BadManifest(f"expected 10ms to 1h, found '{table.interval}'.")
    if table.per_cpu not in {"sum", "max", "each"}:
        yield ("per_cpu",), BadManifest(f"expected sum, max or each; found '{table.per_cpu}'.")
    if table.rate_limit < 0:
        yield ("rate_limit",), BadManifest(f"expected rows a second, or 0 for no limit; found {table.rate_limit}.")
    for key, override in table.columns.items():
        for place, problem in _override_problems(override):
            yield ("columns", key, place), problem


def _override_problems(override: ColumnOverride) -> Iterator[tuple[str, BadManifest]]:
    if override.name is not None and not NAME_PATTERN.fullmatch(override.name):
        yield "name", _bad_name(override.name, "column")
    if override.name in _RESERVED:
        yield "name", BadManifest(f"'{override.name}' is a column that every table has anyway.")
    if override.clock not in {None, "ktime", "boottime", "realtime", "tai"}:
        yield "clock", BadManifest(f"expected ktime, boottime, realtime or tai; found '{override.clock}'.")
    if override.histogram not in {None, "", "log2", "linear"}:
        yield "histogram", BadManifest(f"expected log2 or linear, found '{override.histogram}'.")
    for number in override.values or {}:
        if not re.fullmatch(r"-?\d{1,10}", number):
            yield "values", BadManifest(f"expected numbers as keys of values, found '{number}'.")


def _probe_problems(probe: ProbeSpec) -> Iterator[tuple[str, BadManifest]]:
    for key in _NEEDED.get(probe.kind, ("target",)):
        if not getattr(probe, key):
            yield key, BadManifest(f"a {probe.kind} probe needs '{key}'.", hint=_EXAMPLES.get(probe.kind, ""))
    if probe.kind in {ProbeKind.TRACEPOINT, ProbeKind.USDT} and ":" not in probe.target:
        yield "target", BadManifest(f"expected group:name, found '{probe.target}'.", hint=_EXAMPLES.get(probe.kind, ""))
    if probe.direction not in {"ingress", "egress"}:
        yield "direction", BadManifest(f"expected ingress or egress, found '{probe.direction}'.")
    if probe.frequency and probe.period:
        yield "period", BadManifest("a probe has a frequency or a period, not both.")
    if probe.kind is ProbeKind.PERF_EVENT and not (probe.frequency or probe.period):
        yield "frequency", BadManifest("a perf_event probe needs a frequency in Hz, or a period.")
    if min(probe.frequency, probe.period, probe.offset) < 0:
        yield "program", BadManifest("frequency, period and offset cannot be negative.")


_EXAMPLES = {
    ProbeKind.TRACEPOINT: "For example target = 'sched:sched_process_exec'.",
    ProbeKind.USDT: "For example binary = '/usr/bin/node', target = 'node:gc__start'.",
    ProbeKind.UPROBE: "For example binary = 'libc.so.6', target = 'getaddrinfo'.",
    ProbeKind.URETPROBE: "For example binary = 'libc.so.6', target = 'getaddrinfo'.",
}
