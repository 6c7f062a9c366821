"""Counters in a map's values: their increase since the last reading, and which of them are not counters.

Each field is judged separately. A field that falls has restarted from zero, unless it falls in ways that a counter does
not: then it is a gauge, its rows hold its value, and a warning names it. Owns that judgement, vectorised over all
entries; which entries are new, changed or gone is decided by `entries`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quarterdeck.bpf.records import Bytes
from quarterdeck.model.modules import Field, FieldKind, TableSource

#: A fall by at most 1/1024 from more than this is a racing update of a counter.
SMALL_COUNT = 1024
_RACE_SHARE = 1024
#: Up to this many races are no evidence for a gauge.
_RACES = 4
#: A counter of at least this value that does not fall shows that its entry was not recreated.
_HELD = 8
#: An unsigned number of at most this many bytes can overflow during the uptime of a host.
_WRAPS_BYTES = 4

_NUMBERS = frozenset({FieldKind.SCALAR, FieldKind.ARRAY})
Mask = NDArray[np.bool_]


@dataclass(slots=True, eq=False)
class _Counter:
    """One field, and how often it fell: as a counter that restarted, or as only a gauge does."""

    field: Field
    restarts: int = 0
    reversals: int = 0  #: falls that no restart explains
    dips: int = 0  #: falls to more than half of the value: a restarted counter rarely gets so far in an interval
    races: int = 0  #: small falls, which a racing update explains if they are rare
    rises: int = 0

    @property
    def is_gauge(self) -> bool:
        """Return whether the observations contradict a counter, and the author did not declare one."""
        restarts = self.restarts // 2 if self.field.signed else self.restarts  # only gauges need a sign
        against = self.reversals > restarts or self.dips > 2 * self.restarts + 2
        return (against or self.races > max(_RACES, self.rises // 2)) and not self.field.stated


@dataclass(slots=True, eq=False)
class _Step:
    """One counter in this reading and the last: (n, count) numbers, and the changes of each row."""

    counter: _Counter
    new: NDArray[Any]
    old: NDArray[Any]
    raced: Mask  # (n, count)
    fell: Mask  # (n,)
    held: Mask  # (n,): it rose, or kept a value of at least _HELD
    below: Mask  # (n,): it is negative

    @classmethod
    def of(cls, counter: _Counter, new: NDArray[Any], old: NDArray[Any]) -> _Step:
        lower = new < old
        if lower.any():
            lower &= ~_wrapped(counter.field, new, old)
        raced = lower & (old >= SMALL_COUNT)
        if raced.any():
            raced &= new >= old - old // _RACE_SHARE
        fell = _rows(lower & ~raced)
        held = ~fell & _rows((new > old) | (old >= _HELD))
        return cls(counter, new, old, raced, fell, held, _rows(_below_zero(counter.field, new)))


class Counters:
    """The counters of one source. `lasting`: its entries are never deleted and recreated (arrays and globals)."""

    def __init__(self, source: TableSource, *, lasting: bool, notice: Callable[[str], None]) -> None:
        self._source = source
        self._lasting = lasting
        self._notice = notice
        self._counters = [_Counter(field) for field in numbers_of(source) if field.additive]
        self._warned: set[str] = set()

    def __len__(self) -> int:
        return len(self._counters)

    @property
    def gauges(self) -> frozenset[str]:
        """Return the columns that turned out to be gauges."""
        return frozenset(each.field.column for each in self._counters if each.is_gauge)

    def subtract(self, now: Bytes, before: Bytes) -> Bytes | None:
        """Turn the counters of `now` into differences; return the values to remember, where they differ from `now`.

        Both are (n, value size); `before` is zero for new entries.
        """
        steps = [
            _Step.of(each, _view(now, each, self._source), _view(before, each, self._source)) for each in self._counters
        ]
        if any(step.fell.any() or step.below.any() or step.raced.any() or step.counter.races for step in steps):
            self._judge(steps)
        counted = [step for step in steps if not step.counter.is_gauge]
        kept = now.copy() if any(step.raced.any() for step in counted) else None
        for step in counted:
            old = np.where(step.fell[:, None], 0, step.old).astype(step.old.dtype) if step.fell.any() else step.old
            if kept is not None:
                _view(kept, step.counter, self._source)[...] = higher = np.where(step.raced, old, step.new)
                step.new[...] = higher
            step.new -= old
        return kept

    def _judge(self, steps: list[_Step]) -> None:
        """Record the falls, and return the columns that turn out to be gauges."""
        for step in steps:
            counter, others = step.counter, [each for each in steps if each is not step and not each.counter.is_gauge]
            beside = _any(each.held for each in others)
            alone = ~_any(each.fell for each in others) & _rows(step.new != 0)
            dipped = step.new.sum(axis=1, dtype=np.float64) > step.old.sum(axis=1, dtype=np.float64) / 2
            unlikely = (dipped | alone) if self._lasting else dipped & bool(counter.field.signed)
            contradicted = step.below | (step.fell & (beside | unlikely))
            explained = step.fell & ~contradicted & _rows(step.new != 0)  # a zero is evidence for neither
            counter.races += int(_rows(step.raced).sum())
            counter.rises += int(_rows((step.new > step.old) & (step.old != 0)).sum())
            counter.reversals += int(contradicted.sum())
            counter.dips += int((explained & dipped).sum())
            counter.restarts += int((explained & ~dipped).sum())
        for column in sorted(self.gauges - self._warned):
            self._warned.add(column)
            self._notice(
                f"column '{column}' of table '{self._source.table.name}' goes down as well as up, so it is taken as a "
                f"gauge: its rows hold its value, not its increase. Set counter = false in "
                f"[table.columns.{column}], or counter = true if it only restarts from zero"
            )


def numbers_of(source: TableSource) -> list[Field]:
    """Return the numeric fields of the value."""
    return [field for field in source.fields if field.kind in _NUMBERS and field.offset >= source.key_size]


def numbers(values: NDArray[np.uint8], field: Field, key_size: int) -> NDArray[Any]:
    """Return the field's numbers from the last axis of `values`, (…, count)."""
    start = field.offset - key_size
    kind = "f" if field.floating else "i" if field.signed else "u"
    dtype = np.dtype(f"{'>' if field.big_endian else '='}{kind}{field.size}")
    return values[..., start : start + field.size * field.count].view(dtype)


def _view(values: Bytes, counter: _Counter, source: TableSource) -> NDArray[Any]:
    return numbers(values, counter.field, source.key_size)


def _rows(mask: Mask) -> Mask:
    """Return the rows in which the mask is set for any number."""
    return np.logical_or.reduce(mask, axis=1)


def _any(masks: Iterable[Mask]) -> Mask | np.bool_:
    found: Mask | np.bool_ = np.False_
    for mask in masks:
        found = found | mask
    return found


def _wrapped(field: Field, new: NDArray[Any], old: NDArray[Any]) -> Mask | np.bool_:
    """Return where an unsigned number overflowed: the difference is correct as it is."""
    if field.signed or field.floating or field.size > _WRAPS_BYTES:
        return np.False_
    quarter = 1 << (8 * field.size - 2)
    return (old >= 3 * quarter) & (new < quarter)


def _below_zero(field: Field, new: NDArray[Any]) -> Mask:
    """Return where a number is negative, or would be if it were signed: no host counts that far."""
    if field.signed or field.floating:
        return new < 0
    return new >= np.uint64(1 << 63) if field.size == 8 else np.zeros(new.shape, np.bool_)
