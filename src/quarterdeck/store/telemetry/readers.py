"""Read-only sessions: one for each query that runs, with its limits set before it is handed out, kept for the next.

Owns the limits of a query in rows, time and memory, and how a running query is found and stopped. The last setting of a
session is `readonly = 1`, after which the engine refuses every change of a setting, so that no statement can lift its
own limits. This module does not parse SQL.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from quarterdeck.model.errors import TimedOut
from quarterdeck.model.struct import Struct
from quarterdeck.store.telemetry.sessions import Connect, Session

#: the setting that identifies a session in the engine's list of running queries
MARK = "log_comment"
#: sessions kept open for later; an embedded one costs 8 ms to open
_IDLE_SESSIONS = 8
_SPILL_SHARE = 2  # at this part of its memory a query continues on disk, where it can


class Limits(Struct, frozen=True, kw_only=True):
    """The resources that a query may use."""

    rows: int  #: further ones are left out
    time_s: int
    memory_bytes: int
    answer_bytes: int  #: a larger answer is an error


class Cancellation:
    """A request to end one query early, in whatever state it is. Safe to call from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted = False
        self._mark = ""

    def want(self) -> str:
        """Keep the query from starting. Return the mark of the session in which it runs; "" when it does not run."""
        with self._lock:
            self._wanted = True
            return self._mark

    @contextmanager
    def running(self, mark: str) -> Generator[None]:
        """Record that the query runs. Raise `TimedOut` if it was cancelled: its session may then be stopped."""
        with self._lock:
            self._check()
            self._mark = mark
        try:
            yield
        finally:
            with self._lock:
                self._mark = ""
        self._check()

    def _check(self) -> None:
        if self._wanted:
            raise TimedOut("The query was stopped: its client has stopped waiting for the answer.")


@dataclass(frozen=True, slots=True)
class Reader:
    """A session with its limits set, and its mark."""

    session: Session
    mark: str
    limits: Limits


class Readers:
    """Lends read-only sessions. `connect` opens one with the given settings."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._idle: list[Reader] = []
        self._closed = False

    @contextmanager
    def lend(self, limits: Limits) -> Generator[Reader]:
        """Lend a session with these limits, for one thread at a time."""
        reader = self._take(limits) or self._open(limits)
        try:
            yield reader
        except BaseException:
            # an embedded session begins its next answer with what a failed query had already written
            reader.session.close()
            raise
        self._give_back(reader)

    def close(self) -> None:
        """Close idle sessions now, and lent ones when they are returned."""
        with self._lock:
            self._closed, idle, self._idle = True, self._idle, []
        for reader in idle:
            reader.session.close()

    def _open(self, limits: Limits) -> Reader:
        mark = f"quarterdeck-{secrets.token_hex(8)}"
        return Reader(self._connect(_settings(limits, mark)), mark, limits)

    def _take(self, limits: Limits) -> Reader | None:
        with self._lock:
            for index, reader in enumerate(self._idle):
                if reader.limits == limits:
                    return self._idle.pop(index)
        return None

    def _give_back(self, reader: Reader) -> None:
        surplus: Reader | None = reader
        with self._lock:
            if not self._closed:
                self._idle.append(reader)
                surplus = self._idle.pop(0) if len(self._idle) > _IDLE_SESSIONS else None
        if surplus is not None:
            surplus.session.close()


def _settings(limits: Limits, mark: str) -> dict[str, object]:
    return {
        MARK: mark,
        "limit": limits.rows,
        "max_execution_time": limits.time_s,
        "timeout_before_checking_execution_speed": 0,  # stop at the limit, not when the engine predicts it
        "max_memory_usage": limits.memory_bytes,
        "max_bytes_before_external_group_by": limits.memory_bytes // _SPILL_SHARE,
        "max_bytes_before_external_sort": limits.memory_bytes // _SPILL_SHARE,
        "max_result_bytes": limits.answer_bytes,
        "allow_introspection_functions": 0,
        "date_time_output_format": "iso",
        "output_format_json_quote_64bit_integers": 0,
        "output_format_json_quote_denormals": 0,
        "output_format_arrow_string_as_string": 1,
        "output_format_arrow_low_cardinality_as_dictionary": 0,
        "readonly": 1,  # the last: no setting can be changed after it
    }
