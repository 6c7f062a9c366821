"""The files of the web UI: which file an address has, and how long browsers keep it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from quarterdeck.api import problems, ui

SCRIPT = b"console.log('quarterdeck');\n" * 100


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    dist = tmp_path / "dist"
    (dist / "assets").mkdir(parents=True)
    (dist / "index.html").write_text("<!doctype html><title>Quarterdeck</title>")
    (dist / "assets" / "index-4711.js").write_bytes(SCRIPT)
    (dist / "icon.svg").write_text("<svg/>")
    (dist / "image.png").write_bytes(b"\x89PNG")
    (tmp_path / "secret.txt").write_text("secret")
    return dist


def client_of(*folders: Path) -> TestClient[Litestar]:
    app = Litestar(
        route_handlers=ui.routes(ui.Assets(folders)), exception_handlers=problems.HANDLERS, openapi_config=None
    )
    return TestClient(app)


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient[Litestar]]:
    with client_of(folder.parent / "nothing", folder) as opened:
        yield opened


@pytest.mark.parametrize("path", ["/ui", "/ui/", "/ui/index.html", "/ui/nodes/web-1", "/ui/logs?level=7", "/ui/a.b/c"])
def test_every_view_is_the_page_which_is_asked_for_each_time(client: TestClient[Litestar], path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.text) == (200, "<!doctype html><title>Quarterdeck</title>")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    again = client.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_file_with_a_hash_in_its_name_is_kept(client: TestClient[Litestar]) -> None:
    answer = client.get("/ui/assets/index-4711.js")
    assert (answer.status_code, answer.content) == (200, SCRIPT)
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) < len(SCRIPT)
    plain = client.get("/ui/assets/index-4711.js", headers={"Accept-Encoding": "identity"})
    assert plain.content == SCRIPT
    assert "content-encoding" not in plain.headers


def test_other_files_have_their_types_and_are_asked_for_each_time(client: TestClient[Litestar]) -> None:
    for name, kind in (("icon.svg", "image/svg+xml"), ("image.png", "image/png")):
        answer = client.get(f"/ui/{name}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
        assert answer.headers["cache-control"] == "no-cache"


def test_a_file_of_an_earlier_build_is_not_found(client: TestClient[Litestar]) -> None:
    answer = client.get("/ui/assets/index-old.js")
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


async def test_no_file_beside_the_folder_is_found(folder: Path) -> None:
    (folder / "assets" / "link").symlink_to(folder.parent / "secret.txt")
    assets = ui.Assets([folder])
    for name in ("../secret.txt", "assets/../../secret.txt", f"{folder.parent}/secret.txt", "assets/link", "a\0b", "."):
        assert await assets.find(name) is None, name
    assert await assets.find("assets/../index.html")


def test_only_the_head_is_answered_to_who_asks_for_it(client: TestClient[Litestar]) -> None:
    answer = client.head("/ui/")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["etag"]


def test_a_new_build_is_served_at_once(client: TestClient[Litestar], folder: Path) -> None:
    before = client.get("/ui/").headers["etag"]
    (folder / "index.html").write_text("<!doctype html><title>New</title>")
    answer = client.get("/ui/")
    assert "New" in answer.text
    assert answer.headers["etag"] != before


def test_without_files_the_page_says_how_to_build_them_until_they_are_there(tmp_path: Path) -> None:
    with client_of(tmp_path / "dist") as client:
        answer = client.get("/ui/nodes")
        assert answer.status_code == 503
        assert answer.headers["content-type"].startswith("text/html")
        assert "make ui" in answer.text
        assert client.get("/ui/assets/x.js").status_code == 404
        (tmp_path / "dist").mkdir()
        (tmp_path / "dist" / "index.html").write_text("built")
        assert client.get("/ui/nodes").text == "built"


def test_the_root_leads_browsers_to_the_ui(client: TestClient[Litestar]) -> None:
    answer = client.get("/", headers={"Accept": "text/html,*/*"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (302, "/ui/")
    assert client.get("/", headers={"Accept": "*/*"}).status_code == 404
