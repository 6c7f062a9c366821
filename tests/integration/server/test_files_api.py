"""Files over HTTP: streamed up and down, resumed after cuts and kills, with both clients."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from quarterdeck.client import AsyncClient, Client, Endpoint, transfers
from quarterdeck.model.errors import BadInput, Forbidden, NotFound, TooLarge, Unavailable
from quarterdeck.model.tokens import Role
from tests.fleet import Fleet, free_port

SIZE = 24 * 1024 * 1024 + 5


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    environment = {"QD_SERVER_FILES__MAX_BYTES": str(100 * 1024 * 1024)}
    with Fleet(tmp_path_factory.mktemp("fleet"), server_environment=environment) as running:
        yield running


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large.bin"
    path.write_bytes(os.urandom(SIZE))
    return path


def test_a_file_goes_up_and_down_and_is_sent_once(fleet: Fleet, large: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    def progress(at: int, size: int) -> None:
        seen.append((at, size))

    status = fleet.client.files.upload(large, progress=progress)
    assert (status.complete, status.sha256) == (True, hashlib.sha256(large.read_bytes()).hexdigest())
    assert seen[-1] == (SIZE, SIZE)
    seen.clear()
    fleet.client.files.upload(large, progress=progress)
    assert seen == []
    (stored,) = [file for file in fleet.client.files.list() if file.sha256 == status.sha256]
    assert (stored.name, stored.size) == ("large.bin", SIZE)
    copy = tmp_path / "copy"
    fleet.client.files.download(status.sha256, copy, mode=0o600, progress=progress)
    assert (copy.read_bytes(), copy.stat().st_mode & 0o777) == (large.read_bytes(), 0o600)
    assert seen[-1] == (SIZE, SIZE)
    assert sorted(os.listdir(tmp_path)) == ["copy", "large.bin"]  # noqa: PTH208
    fleet.client.files.remove(status.sha256)
    with pytest.raises(NotFound):
        fleet.client.files.download(status.sha256, copy)
    uploads = [entry for entry in fleet.client.audit.list() if entry.action == "uploadFile"]
    assert [(entry.target, entry.result) for entry in uploads] == [(status.sha256, "ok")]


async def test_the_async_client_does_the_same(fleet: Fleet, large: Path, tmp_path: Path) -> None:
    async with AsyncClient(fleet.client.endpoint) as client:
        status = await client.files.upload(large)
        await client.files.download(status.sha256, tmp_path / "copy")
    assert transfers.measure(tmp_path / "copy") == transfers.measure(large)


def test_an_empty_file(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    status = fleet.client.files.upload(tmp_path / "empty")
    fleet.client.files.download(status.sha256, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b""


def test_an_upload_goes_on_after_the_server_was_killed(fleet: Fleet, large: Path) -> None:
    seen: list[int] = []

    def kill(at: int, _: int) -> None:
        seen.append(at)
        if len(seen) == SIZE // 2 // transfers.STEP_BYTES:
            fleet.server.kill()
            fleet.start_server()

    with Client(fleet.client.endpoint) as client:
        assert client.files.upload(large, progress=kill).complete
    # it may have stored all that was sent, and then nothing is sent again; never all of it is
    again = [at for before, at in pairwise(seen) if at <= before]
    assert len(again) <= 1
    assert all(at > transfers.STEP_BYTES for at in again)


def test_a_download_goes_on_where_an_earlier_program_stopped(fleet: Fleet, large: Path, tmp_path: Path) -> None:
    status = fleet.client.files.upload(large)
    content, copy = large.read_bytes(), tmp_path / "copy"
    part = tmp_path / f".copy.{status.sha256[:16]}.part"
    part.write_bytes(content[: SIZE // 2])
    first: list[int] = []
    fleet.client.files.download(status.sha256, copy, progress=lambda at, _: first.append(at))
    assert copy.read_bytes() == content
    assert first[0] > SIZE // 2
    part.write_bytes(bytes(SIZE // 2))
    with pytest.raises(BadInput, match="damaged"):
        fleet.client.files.download(status.sha256, copy)
    fleet.client.files.download(status.sha256, copy)
    assert copy.read_bytes() == content


def _ask(fleet: Fleet, method: str, path: str, **more: object) -> httpx.Response:
    headers = {"Authorization": f"Bearer {fleet.client.endpoint.token}", **more.pop("headers", {})}  # type: ignore[dict-item]
    return httpx.request(method, f"http://{fleet.http}/api/v1/files/{path}", headers=headers, **more)  # type: ignore[arg-type]


def test_ranges(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "digits").write_bytes(b"0123456789")
    sha256 = fleet.client.files.upload(tmp_path / "digits").sha256
    whole = _ask(fleet, "GET", sha256)
    assert (whole.status_code, whole.content, whole.headers["content-length"]) == (200, b"0123456789", "10")
    for wanted, found in (("bytes=4-", b"456789"), ("bytes=2-3", b"23"), ("bytes=8-100", b"89")):
        answer = _ask(fleet, "GET", sha256, headers={"Range": wanted})
        assert (answer.status_code, answer.content) == (206, found)
    assert answer.headers["content-range"] == "bytes 8-9/10"
    for wanted in ("bytes=10-", "bytes=-1", "lines=1-", "bytes=5-4"):
        assert _ask(fleet, "GET", sha256, headers={"Range": wanted}).json()["code"] == "bad_input"


def test_what_does_not_fit_is_refused_in_words(fleet: Fleet, tmp_path: Path) -> None:
    sha256 = hashlib.sha256(b"x").hexdigest()
    refused = _ask(fleet, "PUT", sha256, params={"size": 2**40}, content=b"x")
    assert (refused.status_code, "max_bytes in [server.files]" in refused.json()["detail"]) == (413, True)
    refused = _ask(fleet, "PUT", sha256, params={"size": 1, "offset": 7}, content=b"x")
    assert "continues at byte 0, not at 7" in refused.json()["detail"]
    refused = _ask(fleet, "PUT", sha256, params={"size": 1}, content=b"y")
    assert "damaged" in refused.json()["detail"]
    refused = _ask(fleet, "PUT", "..%2Fstate.db", params={"size": 1}, content=b"y")
    assert refused.json()["code"] == "bad_input"
    assert not _ask(fleet, "GET", f"{sha256}/status").json()["complete"]
    assert _ask(fleet, "GET", sha256).status_code == 404
    (tmp_path / "sparse").touch()
    os.truncate(tmp_path / "sparse", 101 * 1024 * 1024)
    with pytest.raises(TooLarge):
        fleet.client.files.upload(tmp_path / "sparse")


def test_a_file_that_shrinks_while_it_is_sent_is_an_error(fleet: Fleet, large: Path) -> None:
    measured = transfers.measure(large)
    os.truncate(large, 1000)
    with pytest.raises(BadInput, match="changed while it was sent"):
        fleet.client.files.upload(large, measured=measured)


def test_a_viewer_sees_no_contents(fleet: Fleet, tmp_path: Path) -> None:
    token = fleet.client.api_tokens.create("vera", Role.VIEWER).token
    (tmp_path / "x").write_bytes(b"secret")
    sha256 = fleet.client.files.upload(tmp_path / "x").sha256
    with Client(Endpoint(url=f"http://{fleet.http}", token=token)) as viewer:
        for call in (
            viewer.files.list,
            lambda: viewer.files.download(sha256, tmp_path / "y"),
            lambda: viewer.files.upload(tmp_path / "x"),
            lambda: viewer.files.remove(sha256),
        ):
            with pytest.raises(Forbidden):
                call()


def test_without_a_server_it_fails_at_once(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    endpoint = Endpoint(url=f"http://127.0.0.1:{free_port()}", token="t")
    with Client(endpoint) as client, pytest.raises(Unavailable, match="No server answers"):
        client.files.upload(tmp_path / "x")
