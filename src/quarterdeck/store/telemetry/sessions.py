"""Sessions with the engine: how one is opened, embedded or on a server, and the interface that we use.

Owns the drivers' options. It never runs a statement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import urlsplit, urlunsplit

import clickhouse_connect
from clickhouse_connect.driver.exceptions import Error as DriverError

from quarterdeck.model.errors import BadConfig, StorageCorrupt

DATABASE = "quarterdeck"
_MARK_CACHE_BYTES = 32 * 1024 * 1024
_MERGE_THREADS = 2
_CONNECT_TIMEOUT_S = 10
_ANSWER_TIMEOUT_S = 120


class Session(Protocol):
    """The part of clickhouse-connect's client that we use; its own types are incomplete."""

    database: str | None
    server_version: str

    def command(self, cmd: str) -> object: ...

    def raw_query(self, query: str, parameters: Mapping[str, object] | None = None, *, fmt: str) -> bytes: ...

    def insert_arrow(
        self, table: str, arrow_table: Any, *, settings: Mapping[str, object], transport_settings: Mapping[str, str]
    ) -> object: ...

    def min_version(self, version_str: str) -> bool: ...

    def ping(self) -> bool: ...

    def close(self) -> None: ...


#: opens a session with these settings
Connect = Callable[[Mapping[str, object]], Session]
_get_client: Callable[..., Session] = cast("Any", clickhouse_connect).get_client


def embedded(path: Path, memory_bytes: int) -> Connect:
    """Return a function that opens sessions with the engine in this process, whose files are below `path`."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    options = {
        "max_server_memory_usage": memory_bytes,
        "mark_cache_size": _MARK_CACHE_BYTES,
        "background_pool_size": _MERGE_THREADS,
        # rows that belong to no table are damage that may still be repaired: they are not removed
        "database_catalog_unused_dir_cleanup_period_sec": 0,
    }

    def connect(settings: Mapping[str, object]) -> Session:
        try:
            return _get_client(
                interface="chdb",
                path=str(path),
                chdb_options=options,
                settings=dict(settings),
                show_clickhouse_errors=True,
            )
        except DriverError as error:
            raise StorageCorrupt(
                f"The telemetry store below {path} cannot be opened: its engine does not start.",
                hint="What the engine says of it stands above this. Nothing was changed: restore the folder from a"
                " backup, or move it away to start without the rows it holds.",
            ) from error

    return connect


def remote(url: str) -> tuple[Connect, str]:
    """Return a function that opens sessions with "http(s)://user:password@host:port/database", and the database."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadConfig(f"Expected http(s)://… as telemetry_url, found '{parts.scheme}://…'.")
    dsn = urlunsplit(parts._replace(path=""))  # the database may not exist yet

    def connect(settings: Mapping[str, object]) -> Session:
        return _get_client(
            dsn=dsn,
            secure=parts.scheme == "https",
            settings={"wait_end_of_query": 1, **settings},  # an error midway is an error, not a partial answer
            autogenerate_session_id=False,
            connect_timeout=_CONNECT_TIMEOUT_S,
            send_receive_timeout=_ANSWER_TIMEOUT_S,
            show_clickhouse_errors=True,
        )

    return connect, parts.path.strip("/") or DATABASE
