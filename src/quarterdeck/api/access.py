"""Who may call what: every route needs a bearer token whose role covers the route's, unless the route says `public`.

Authentication comes before dispatch and the default is to deny: a route that names no role needs admin. Every call of a
route that changes something is written to the audit log, with its outcome.
"""

from __future__ import annotations

from typing import Any

from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from quarterdeck.model.errors import Forbidden, Unauthenticated
from quarterdeck.model.tokens import ApiToken, Role
from quarterdeck.server.server import Server

#: handler options, given as `opt={...}` or by the decorators' keyword arguments
ROLE, PUBLIC, AUDIT = "role", "public", "audit"


def describe(scope: Scope, *, target: str, detail: str) -> None:
    """What the audit log says of this request, where its path does not say it all."""
    scope["state"]["audit"] = (target, detail)


def operation(scope: Scope) -> str:
    """What the audit log calls this request."""
    return str(getattr(scope["route_handler"], "operation_id", None) or scope["path"])


def leave_out(scope: Scope) -> None:
    """Unless it fails, this request needs no entry in the audit log: another one says, or will, that it was done."""
    scope["state"]["unaudited"] = True


class Access(ASGIMiddleware):
    """Authenticates, authorises and audits."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, server: Server) -> None:
        self.server = server

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Passes the request on, or raises `Unauthenticated` or `Forbidden`."""
        options: dict[str, Any] = scope["route_handler"].opt
        if options.get(PUBLIC):
            await next_app(scope, receive, send)
            return
        token = await self._authenticate(ASGIConnection[Any, Any, Any, Any](scope))
        needed: Role = options.get(ROLE, Role.ADMIN)
        if not token.role.covers(needed):
            await self._audit(scope, token, "forbidden")
            raise Forbidden(f"This needs the role {needed}; the token '{token.name}' has {token.role}.")
        scope["user"] = token
        await self._pass_on(scope, receive, send, next_app, token)

    async def _authenticate(self, connection: ASGIConnection[Any, Any, Any, Any]) -> ApiToken:
        scheme, _, secret = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secret:
            raise Unauthenticated("Expected the header `Authorization: Bearer TOKEN`, found none.")
        return await self.server.tokens.verify(secret.strip())

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp, token: ApiToken) -> None:
        """Calls the route. What it came to is in the audit log before its answer leaves."""

        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start":
                failed = message["status"] >= 400
                await self._audit(scope, token, scope["state"].get("error_code", "failed") if failed else "ok")
            await send(message)

        await next_app(scope, receive, watch)

    async def _audit(self, scope: Scope, token: ApiToken, result: str) -> None:
        if not scope["route_handler"].opt.get(AUDIT) or (result == "ok" and scope["state"].get("unaudited")):
            return
        path = "/".join(str(value) for value in scope["path_params"].values())
        target, detail = scope["state"].get("audit", (path, ""))
        await self.server.audit.record(
            actor=token.name, role=token.role, action=operation(scope), target=target, result=result, detail=detail
        )
