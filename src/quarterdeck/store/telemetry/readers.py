"""Read-only sessions: one for each query that runs, with its limits set before it is handed out, kept for the next.

It owns how a query is limited in rows, time and memory. A session's last setting is `readonly = 1`, after which the
engine refuses every change of a setting in it, so that no statement can lift its own limits. Nothing here knows SQL.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager

from quarterdeck.model.struct import Struct
from quarterdeck.store.telemetry.sessions import Connect, Session

#: sessions kept open for later; an embedded one costs 8 ms to open
_IDLE_SESSIONS = 8
_ANSWER_SHARE = 4  # an answer may take this part of the query's memory, because it is copied on its way out


class Limits(Struct, frozen=True, kw_only=True):
    """What a query may use."""

    rows: int  #: further ones are left out
    time_s: int
    memory_bytes: int


class Readers:
    """Lends read-only sessions. `connect` opens one with the given settings."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._idle: list[tuple[Limits, Session]] = []
        self._closed = False

    @contextmanager
    def lend(self, limits: Limits) -> Generator[Session]:
        """A session with these limits, for one thread at a time."""
        session = self._take(limits) or self._connect(_settings(limits))
        try:
            yield session
        except BaseException:
            # an embedded session begins its next answer with what a failed query had already written
            session.close()
            raise
        self._give_back(limits, session)

    def close(self) -> None:
        """Close what is idle now, and what is lent when it comes back."""
        with self._lock:
            self._closed, idle, self._idle = True, self._idle, []
        for _, session in idle:
            session.close()

    def _take(self, limits: Limits) -> Session | None:
        with self._lock:
            for index, (kept, session) in enumerate(self._idle):
                if kept == limits:
                    del self._idle[index]
                    return session
        return None

    def _give_back(self, limits: Limits, session: Session) -> None:
        surplus = session
        with self._lock:
            if not self._closed:
                self._idle.append((limits, session))
                surplus = self._idle.pop(0)[1] if len(self._idle) > _IDLE_SESSIONS else None
        if surplus is not None:
            surplus.close()


def _settings(limits: Limits) -> dict[str, object]:
    return {
        "limit": limits.rows,
        "max_execution_time": limits.time_s,
        "timeout_before_checking_execution_speed": 0,  # stop at the limit, not when the engine guesses it will be over
        "max_memory_usage": limits.memory_bytes,
        "max_result_bytes": limits.memory_bytes // _ANSWER_SHARE,
        "allow_introspection_functions": 0,
        "date_time_output_format": "iso",
        "output_format_json_quote_64bit_integers": 0,
        "output_format_json_quote_denormals": 0,
        "output_format_arrow_string_as_string": 1,
        "output_format_arrow_low_cardinality_as_dictionary": 0,
        "readonly": 1,  # the last: nothing can be set after it
    }
