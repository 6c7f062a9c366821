"""Signing in and out over HTTP: the cookie, who may use it from where, and what a browser is told."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest

from quarterdeck.api.app import create_app
from quarterdeck.api.serve import HttpServer
from quarterdeck.client import AsyncClient, Endpoint
from quarterdeck.model.config import ServerConfig
from quarterdeck.model.errors import NotFound
from quarterdeck.model.tokens import Role
from quarterdeck.server.server import Server

ELSEWHERE = "http://evil.example.com"


@pytest.fixture
async def browser(client: AsyncClient) -> AsyncGenerator[httpx.AsyncClient]:
    """A browser with a page of the server open; it has signed in with the link of an administrator."""
    url = client.endpoint.url
    async with httpx.AsyncClient(base_url=url, headers={"Origin": url, "User-Agent": "Browser 1"}) as opened:
        code = await client.logins.create_code()
        assert (await opened.post("/api/v1/sign-in", json={"code": code.code})).status_code == 200
        yield opened


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


async def test_a_link_signs_a_browser_in_and_it_signs_out(client: AsyncClient) -> None:
    url = client.endpoint.url
    code = await client.logins.create_code()
    assert code.path == f"/ui/#code={code.code}"
    async with httpx.AsyncClient(base_url=url, headers={"Origin": url}) as browser:
        assert problem(await browser.get("/api/v1/me")) == (401, "unauthenticated")
        answer = await browser.post("/api/v1/sign-in", json={"code": code.code}, headers={"User-Agent": "Browser 1"})
        login = answer.json()
        assert (answer.status_code, login["name"], login["role"]) == (200, "local", "admin")
        assert (login["address"], login["agent"]) == ("127.0.0.1", "Browser 1")
        name, _, rest = answer.headers["set-cookie"].partition("=")
        attributes = {part.strip().lower() for part in rest.split(";")[1:]}
        assert name == "quarterdeck"
        assert attributes == {"httponly", "samesite=strict", "path=/", "max-age=43200"}
        assert rest.split(";")[0].strip('"') not in answer.text
        me = (await browser.get("/api/v1/me")).json()
        assert (me["name"], me["role"], me["login"]["id"]) == ("local", "admin", login["id"])
        assert [each.id for each in await client.logins.list()] == [login["id"]]
        cookie = browser.cookies["quarterdeck"]
        gone = await browser.post("/api/v1/sign-out")
        assert gone.status_code == 204
        assert "max-age=0" in gone.headers["set-cookie"].lower()
        assert "quarterdeck" not in browser.cookies
        kept = await browser.get("/api/v1/me", headers={"Cookie": f"quarterdeck={cookie}"})
        assert problem(kept) == (401, "unauthenticated")
    assert await client.logins.list() == []
    done = [(entry.action, entry.target) for entry in await client.audit.list()]
    assert done == [("signOut", login["id"]), ("signIn", login["id"]), ("createSignInCode", "")]


async def test_a_code_signs_in_one_browser(client: AsyncClient) -> None:
    code = (await client.logins.create_code()).code
    async with httpx.AsyncClient(base_url=client.endpoint.url) as browser:
        assert (await browser.post("/api/v1/sign-in", json={"code": code})).status_code == 200
        again = await browser.post("/api/v1/sign-in", json={"code": code})
        assert problem(again) == (401, "unauthenticated")
        assert "set-cookie" not in again.headers
        for body in ({}, {"code": code, "token": "x"}, {"nonsense": 1}):
            assert problem(await browser.post("/api/v1/sign-in", json=body)) == (400, "bad_input")
        large = await browser.post("/api/v1/sign-in", json={"code": "x" * 100_000})
        assert large.status_code == 413


async def test_a_token_signs_in_with_its_role(client: AsyncClient) -> None:
    made = await client.api_tokens.create("viewer", Role.VIEWER)
    url = client.endpoint.url
    async with httpx.AsyncClient(base_url=url, headers={"Origin": url}) as browser:
        answer = await browser.post("/api/v1/sign-in", json={"token": made.token})
        assert answer.json()["role"] == "viewer"
        assert (await browser.get("/api/v1/nodes")).status_code == 200
        assert problem(await browser.get("/api/v1/logins")) == (403, "forbidden")
        assert problem(await browser.delete("/api/v1/nodes/x")) == (403, "forbidden")
        await client.api_tokens.remove(made.info.id)
        assert problem(await browser.get("/api/v1/nodes")) == (401, "unauthenticated")


async def test_an_administrator_ends_the_login_of_another(client: AsyncClient, browser: httpx.AsyncClient) -> None:
    (login,) = await client.logins.list()
    await client.logins.remove(login.id)
    assert problem(await browser.get("/api/v1/me")) == (401, "unauthenticated")
    with pytest.raises(NotFound):
        await client.logins.remove(login.id)


async def test_a_bearer_token_counts_more_than_a_cookie(client: AsyncClient, browser: httpx.AsyncClient) -> None:
    made = await client.api_tokens.create("viewer", Role.VIEWER)
    me = (await browser.get("/api/v1/me", headers={"Authorization": f"Bearer {made.token}"})).json()
    assert (me["name"], me["login"]) == ("viewer", None)
    wrong = await browser.get("/api/v1/me", headers={"Authorization": "Bearer wrong"})
    assert problem(wrong) == (401, "unauthenticated")
    identity = await client.logins.identity()
    assert (identity.name, identity.role, identity.login) == ("local", Role.ADMIN, None)


async def test_only_a_page_of_ours_changes_something_with_a_cookie(browser: httpx.AsyncClient) -> None:
    path, body = "/api/v1/nodes/select", {}
    assert (await browser.post(path, json=body)).status_code == 200
    assert problem(await browser.post(path, json=body, headers={"Origin": ELSEWHERE})) == (403, "foreign_origin")
    assert problem(await browser.post(path, json=body, headers={"Origin": "null"})) == (403, "foreign_origin")
    del browser.headers["Origin"]
    assert problem(await browser.post(path, json=body)) == (403, "foreign_origin")
    assert (await browser.post(path, json=body, headers={"Sec-Fetch-Site": "same-origin"})).status_code == 200
    other = await browser.post(path, json=body, headers={"Sec-Fetch-Site": "cross-site"})
    assert problem(other) == (403, "foreign_origin")
    assert (await browser.get("/api/v1/me")).status_code == 200


async def test_another_site_cannot_sign_a_browser_in(client: AsyncClient) -> None:
    """Else what its user does would happen under the attacker's name."""
    code = (await client.logins.create_code()).code
    async with httpx.AsyncClient(base_url=client.endpoint.url) as browser:
        headers = {"Origin": ELSEWHERE, "Content-Type": "text/plain"}
        answer = await browser.post("/api/v1/sign-in", content=f'{{"code": "{code}"}}', headers=headers)
        assert problem(answer) == (403, "foreign_origin")


async def test_a_login_cannot_make_another(browser: httpx.AsyncClient) -> None:
    assert problem(await browser.post("/api/v1/sign-in/codes")) == (403, "forbidden")


async def test_only_a_browser_signs_out(client: AsyncClient) -> None:
    headers = {"Authorization": f"Bearer {client.endpoint.token}"}
    async with httpx.AsyncClient(base_url=client.endpoint.url, headers=headers) as program:
        assert problem(await program.post("/api/v1/sign-out")) == (400, "bad_input")


async def test_behind_a_proxy_with_tls_the_cookie_is_for_https_only(client: AsyncClient) -> None:
    code = (await client.logins.create_code()).code
    headers = {"Host": "127.0.0.1", "Origin": "https://127.0.0.1", "X-Forwarded-Proto": "https"}
    async with httpx.AsyncClient(base_url=client.endpoint.url) as browser:
        answer = await browser.post("/api/v1/sign-in", json={"code": code}, headers=headers)
    assert "; secure" in answer.headers["set-cookie"].lower()


@pytest.mark.parametrize("path", ["/", "/ui/", "/ping", "/healthz", "/schema", "/nothing", "/api/v1/me", "/log/x"])
@pytest.mark.parametrize(
    ("headers", "refusal"),
    [
        ({"Host": "evil.example.com"}, (421, "foreign_host")),
        ({"Origin": ELSEWHERE}, (403, "foreign_origin")),
    ],
)
async def test_no_route_answers_other_hosts_or_pages(
    browser: httpx.AsyncClient, path: str, headers: dict[str, str], refusal: tuple[int, str]
) -> None:
    answer = await browser.get(path, headers=headers)
    assert problem(answer) == refusal
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_the_unix_socket_is_for_any_host_and_configured_names_for_the_port(
    server: Server, config: ServerConfig
) -> None:
    local = Path(config.home) / "h.socket"
    http = HttpServer(create_app(server), "127.0.0.1:0", names=["deck.example.org"], local=local)
    await http.start()
    headers = {"Host": "deck.example.org"}
    async with httpx.AsyncClient(base_url=f"http://{http.address}") as client:
        assert (await client.get("/healthz", headers=headers)).status_code == 200
    transport = httpx.AsyncHTTPTransport(uds=str(local))
    async with httpx.AsyncClient(transport=transport, base_url="http://anything.example") as client:
        answer = await client.get("/healthz")
        assert answer.status_code == 200
        assert answer.headers["x-frame-options"] == "DENY"
    token = (Path(config.home) / "admin.token").read_text().strip()
    async with AsyncClient(Endpoint(url="http://local", token=token, socket=str(local))) as client:
        code = await client.logins.create_code()
        transport = httpx.AsyncHTTPTransport(uds=str(local))
        async with httpx.AsyncClient(transport=transport, base_url="http://local") as program:
            login = (await program.post("/api/v1/sign-in", json={"code": code.code})).json()
        assert login["address"] == ""
    await http.stop()


async def test_ping_is_answered(client: AsyncClient) -> None:
    async with httpx.AsyncClient(base_url=client.endpoint.url) as anybody:
        answer = await anybody.get("/ping")
    assert (answer.status_code, answer.text) == (200, "pong")
    assert answer.headers["content-type"].startswith("text/plain")


async def test_every_page_has_a_policy_that_loads_nothing_from_elsewhere(client: AsyncClient) -> None:
    async with httpx.AsyncClient(base_url=client.endpoint.url) as anybody:
        for path in ("/schema", "/docs/errors", "/ui/"):
            answer = await anybody.get(path)
            assert answer.headers["content-type"].startswith("text/html"), path
            policy = answer.headers.get_list("content-security-policy")
            assert len(policy) == 1, path
            assert policy[0].startswith("default-src 'none'; script-src 'self'"), path
            assert ("'unsafe-inline'" in policy[0].split(";")[1]) is (path == "/schema"), path
            assert not re.search(r"(?:src|href)=['\"](?:https?:)?//", answer.text), path
