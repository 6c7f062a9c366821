"""ClickHouse's HTTP interface in front of the embedded engine: enough of it to drive the code for a server by URL.

A request is a session of its own: the settings in the URL are set in it before the statement runs, `readonly` last.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import chdb

#: what concerns the transport and is no setting of the engine
_TRANSPORT = ("query", "database", "query_id", "session_id", "compress", "client_protocol_version")
_TRANSPORT += ("wait_end_of_query", "enable_http_compression", "send_progress_in_http_headers")
_FORMAT = re.compile(r"\s+FORMAT\s+(\w+)\s*$", re.IGNORECASE)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path

    def do_GET(self) -> None:
        self._answer(200, b"Ok.\n", {})

    def do_POST(self) -> None:
        url = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        body = self._body()
        try:
            answer, read = self._run(url, body)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client is to see it
            code = re.search(r"Code: (\d+)", str(error))
            self._answer(500, str(error).encode(), {"X-ClickHouse-Exception-Code": code[1] if code else "1002"})
            return
        self._answer(200, answer, {"X-ClickHouse-Summary": json.dumps({"read_rows": str(read)})})

    def _run(self, url: dict[str, str], body: bytes) -> tuple[bytes, int]:
        with chdb.connect(str(self.folder)) as session:
            session.query(f"USE `{url.get('database', 'default')}`")
            settings = {k: v for k, v in url.items() if k not in _TRANSPORT and not k.startswith("param_")}
            for name in sorted(settings, key=lambda name: name == "readonly"):
                session.query(f"SET {name} = '{settings[name]}'")
            if "query" in url and body:
                shape = _FORMAT.search(url["query"])
                assert shape is not None
                with session.send_insert(url["query"][: shape.start()], shape[1]) as insert:
                    insert.append(body)
                    return b"", insert.finish().rows_written
            values = {k.removeprefix("param_"): v for k, v in url.items() if k.startswith("param_")}
            found = session.query(url.get("query") or body.decode(), "TabSeparated", params=values)
            return found.bytes() or b"", found.rows_read()

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks: list[bytes] = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002


@contextmanager
def clickhouse_front(folder: Path) -> Generator[str]:
    """The URL of a front over the engine whose files are below `folder`."""
    handler = type("Handler", (_Handler,), {"folder": folder})
    with chdb.connect(str(folder)), ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
