"""Access control: every route requires an API token whose role covers the route's role, unless it is `public`.

The token comes as `Authorization: Bearer`, or as the cookie of a browser that has signed in with it. With the cookie, a
request that may change something must come from a page of this server. Requests are authenticated before dispatch and
denied by default: a route without a role requires admin. Every call of a route that changes something is written to the
audit log, with its result. Tokens and logins are managed elsewhere.
"""

from __future__ import annotations

from typing import Any, cast

from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from quarterdeck.api.admitting import token_checked
from quarterdeck.api.origins import is_own_origin
from quarterdeck.model.errors import Forbidden, ForeignOrigin, Unauthenticated
from quarterdeck.model.logins import Login
from quarterdeck.model.tokens import ApiToken, Role
from quarterdeck.server.audit import Audit
from quarterdeck.server.logins import Logins
from quarterdeck.server.tokens import Tokens

#: handler options, given as `opt={...}` or by the decorators' keyword arguments
ROLE, PUBLIC, AUDIT = "role", "public", "audit"
#: name of the cookie of signed-in browsers
COOKIE = "quarterdeck"
#: methods of requests that change nothing
_READING = frozenset({"GET", "HEAD"})


def describe(scope: Scope, *, target: str, detail: str) -> None:
    """Set the target and detail of this request's audit entry, where its path is not enough."""
    scope["state"]["audit"] = (target, detail)


def operation(scope: Scope) -> str:
    """Return the name of this request's action in the audit log."""
    return str(getattr(scope["route_handler"], "operation_id", None) or scope["path"])


def login_of(scope: Scope) -> Login | None:
    """Return the login of the browser that sent this request, or None for a request with a bearer token."""
    return scope["state"].get("login")


def leave_out(scope: Scope) -> None:
    """Omit the audit entry of this request unless it fails: the change itself writes an entry."""
    scope["state"]["unaudited"] = True


async def authorise(audit: Audit, scope: Scope, token: ApiToken) -> None:
    """Raise `Forbidden` unless the token's role covers that of the scope's route; record a change that is refused."""
    needed: Role = scope["route_handler"].opt.get(ROLE, Role.ADMIN)
    if not token.role.covers(needed):
        await record(audit, scope, token, "forbidden")
        raise Forbidden(f"This needs the role {needed}; the token '{token.name}' has {token.role}.")


async def record(audit: Audit, scope: Scope, token: ApiToken, result: str) -> None:
    """Record the call of the scope's route with its result, if the route changes something."""
    if not scope["route_handler"].opt.get(AUDIT) or (result == "ok" and scope["state"].get("unaudited")):
        return
    path = "/".join(str(value) for value in scope["path_params"].values())
    target, detail = scope["state"].get("audit", (path, ""))
    await audit.record(
        actor=token.name, role=token.role, action=operation(scope), target=target, result=result, detail=detail
    )


class Access(ASGIMiddleware):
    """Middleware that authenticates requests by `tokens` or `logins`, authorises and records them in `audit`."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, tokens: Tokens, logins: Logins, audit: Audit) -> None:
        self._tokens = tokens
        self._logins = logins
        self._audit = audit

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Pass the request on, or raise `Unauthenticated` or `Forbidden`."""
        options: dict[str, Any] = scope["route_handler"].opt
        if options.get(PUBLIC):
            token_checked(scope, valid=False)
            await next_app(scope, receive, send)
            return
        token = await self._authenticate(ASGIConnection[Any, Any, Any, Any](scope))
        token_checked(scope, valid=True)
        await authorise(self._audit, scope, token)
        scope["user"] = token
        await self._pass_on(scope, receive, send, next_app, token)

    async def _authenticate(self, connection: ASGIConnection[Any, Any, Any, Any]) -> ApiToken:
        """Return the API token. A bearer token takes precedence over a cookie."""
        cookie = connection.cookies.get(COOKIE, "")
        if cookie and "authorization" not in connection.headers:
            return await self._recognise(connection, cookie)
        word, _, secret = connection.headers.get("authorization", "").partition(" ")
        if word.lower() != "bearer" or not secret:
            raise Unauthenticated(
                "Expected the header `Authorization: Bearer TOKEN`, found none.",
                hint="A browser signs in at /ui/; `qd ui` makes a link for it.",
            )
        return await self._tokens.verify(secret.strip())

    async def _recognise(self, connection: ASGIConnection[Any, Any, Any, Any], cookie: str) -> ApiToken:
        signed = await self._logins.verify(cookie)
        if cast("HTTPScope", connection.scope)["method"] not in _READING and not is_own_origin(connection.scope):
            raise ForeignOrigin(
                "A signed-in browser may change something only from a page of this server.",
                hint="A program uses an API token instead: `Authorization: Bearer TOKEN`.",
            )
        connection.scope["state"]["login"] = signed.login
        return signed.token

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp, token: ApiToken) -> None:
        """Call the route. Its result is in the audit log before its answer is sent."""

        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start":
                failed = message["status"] >= 400
                result = scope["state"].get("error_code", "failed") if failed else "ok"
                await record(self._audit, scope, token, result)
            await send(message)

        await next_app(scope, receive, watch)
