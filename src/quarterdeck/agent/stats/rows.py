"""The content of a tally as rows of the table `stats`: whole columns of NumPy, without a loop over keys.

Only the values of each source (a process's command, domain and name) pass through Python strings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quarterdeck.agent.stats.tally import Tally
from quarterdeck.columns.batch import Batch
from quarterdeck.columns.values import NO_BYTES, Pairs, Values, Varying, join, strings, take
from quarterdeck.model.stats import STATS_TABLE, StatKind, StatSource

_COUNTER, _TIMER, _SET = (list(StatKind).index(kind) for kind in (StatKind.COUNTER, StatKind.TIMER, StatKind.SET))
_PERCENTILES = {"p50": 0.50, "p90": 0.90, "p99": 0.99}
#: a cell of a timer holds the values whose bits agree down to this one, and stands for the one in the middle
_CELL_BIT = 46
_COMMA, _COLON = b",:"

_Array = NDArray[Any]


def stats_rows(
    tally: Tally, sources: Mapping[int, StatSource], *, gid: int, nid: int, time_ns: int, interval_ns: int
) -> Batch:
    """Return a row for each key that had a sample; `sources` has every number that the tally was fed with."""
    numbers = np.flatnonzero(tally.keys()["samples"])
    keys = tally.keys()[numbers]
    rows, interval_s = len(keys), interval_ns / 1e9
    kind, count, sums = keys["kind"], keys["count"], keys["sum"]
    mean = sums / np.maximum(count, np.finfo(np.float64).tiny)
    members = _members(tally.cells(), numbers, kind)
    value = np.select([kind == _COUNTER, kind == _TIMER, kind == _SET], [sums, mean, members], keys["last"])
    columns: dict[str, Values] = {
        "time": np.full(rows, time_ns, np.int64),
        "interval": np.full(rows, interval_ns, np.int64),
        "kind": kind.astype(np.int32),
        "value": value,
        "samples": keys["samples"],
        "count": count,
        "rate": np.where(kind == _COUNTER, sums, count) / interval_s,
        "mean": mean,
        **{name: keys[name].copy() for name in ("sum", "min", "max", "last")},
        **_percentiles(tally.cells(), numbers, keys),
        **_texts(tally.texts(), keys, sources, gid=gid, nid=nid),
    }
    return Batch(STATS_TABLE, columns, rows)


def _texts(
    texts: NDArray[np.uint8], keys: _Array, sources: Mapping[int, StatSource], *, gid: int, nid: int
) -> dict[str, Values]:
    """Return the text columns: keys, tags and the values of sources."""
    used, place = np.unique(keys["source"], return_inverse=True)
    known = [sources[int(number)] for number in used]
    prefixes = strings([source.prefix(gid=gid, nid=nid) for source in known])
    names = _slices(texts, keys["text"], keys["name_size"])
    rows = np.arange(len(keys))
    pieces = take(join([prefixes, names]), np.stack([place, len(known) + rows], axis=1).ravel())
    assert isinstance(pieces, Varying)
    return {
        "key": Varying(np.ascontiguousarray(pieces.offsets[::2]), pieces.items),  # two pieces per key
        "cmd": take(strings([source.cmd for source in known]), place),
        "domain": take(strings([source.domain for source in known]), place),
        "name": take(strings([source.name for source in known]), place),
        "tags": tag_maps(_slices(texts, keys["text"] + keys["name_size"], keys["tags_size"])),
    }


def tag_maps(tags: Varying) -> Varying:
    """Return `name:value,name,…` of each row as a map; a tag without a colon has the value ""."""
    text = tags.items
    assert isinstance(text, np.ndarray)
    begins, ends = tags.offsets[:-1].astype(np.int64), tags.offsets[1:].astype(np.int64)
    some = ends > begins
    commas = np.flatnonzero(text == _COMMA)
    starts = np.sort(np.concatenate([begins[some], commas + 1]))
    stops = np.sort(np.concatenate([ends[some], commas]))
    full = stops > starts
    starts, stops = starts[full], stops[full]
    colons = np.append(np.flatnonzero(text == _COLON), len(text))
    colon = np.minimum(colons[np.searchsorted(colons, starts)], stops)
    values = np.minimum(colon + 1, stops)
    pairs = Pairs(_slices(text, starts, colon - starts), _slices(text, values, stops - values))
    return Varying(np.searchsorted(starts, tags.offsets).astype(np.int32), pairs)


def _slices(data: NDArray[np.uint8], starts: _Array, sizes: _Array) -> Varying:
    """Return `sizes[i]` bytes from `starts[i]` of `data`, packed end to end."""
    offsets = np.zeros(len(starts) + 1, np.int32)
    np.cumsum(sizes, out=offsets[1:])
    if not offsets[-1]:
        return Varying(offsets, NO_BYTES)
    places: _Array = np.repeat(starts.astype(np.int64) - offsets[:-1], sizes)
    return Varying(offsets, data[places + np.arange(offsets[-1])])


def _members(cells: _Array, numbers: _Array, kind: _Array) -> _Array:
    """Return the number of different members of each set; 0 for other kinds."""
    row = np.searchsorted(numbers, cells["key"])
    return np.where(kind == _SET, np.bincount(row, minlength=len(numbers)), 0).astype(np.float64)


def _percentiles(cells: _Array, numbers: _Array, keys: _Array) -> dict[str, Values]:
    """Return the percentiles of timers, by nearest rank among their cells; 0 for other kinds and empty timers."""
    found: dict[str, Values] = {name: np.zeros(len(keys)) for name in _PERCENTILES}
    row = np.searchsorted(numbers, cells["key"])
    mine = keys["kind"][row] == _TIMER
    row, cells = row[mine], cells[mine]
    if not len(cells):
        return found
    values = ((cells["what"] << np.uint64(_CELL_BIT)) + np.uint64(1 << (_CELL_BIT - 1))).view(np.float64)
    values = np.clip(values, keys["min"][row], keys["max"][row])
    order = np.lexsort((values, row))
    row, values = row[order], values[order]
    timers, first = np.unique(row, return_index=True)
    last = np.append(first[1:], len(row)) - 1
    reached = np.cumsum(cells["weight"][order])
    before = reached[first] - cells["weight"][order][first]
    for name, part in _PERCENTILES.items():
        rank = before + part * (reached[last] - before)
        at = np.searchsorted(reached, rank * (1 - 1e-12))  # sums of weights such as 1 / 0.1 are not exact
        out = found[name]
        assert isinstance(out, np.ndarray)
        out[timers] = values[np.clip(at, first, last)]
    return found
