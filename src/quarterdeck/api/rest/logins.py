"""Routes of logins: signing in and out with a browser, who is signed in, and the codes of sign-in links."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, delete, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from quarterdeck.api.access import COOKIE, describe, login_of
from quarterdeck.api.origins import scheme
from quarterdeck.model.errors import BadInput, Forbidden
from quarterdeck.model.logins import Identity, Login, SignIn, SignInCode
from quarterdeck.model.tokens import Role
from quarterdeck.server.logins import LOGIN_S, Logins

Asked = Request[Any, Any, Any]
_BODY_BYTES = 16 * 1024  # of a request that needs no token


@post("/sign-in", operation_id="signIn", status_code=200, public=True, request_max_body_size=_BODY_BYTES)
async def sign_in(server_logins: NamedDependency[Logins], request: Asked, data: JSONBody[SignIn]) -> Response[Login]:
    """Sign in a browser with the code of a link or with an API token, and set its cookie.

    A code can be used once. The login has the role of the token and ends after 12 hours, or with the token.
    """
    address = request.client.host if request.client else ""
    made = await server_logins.sign_in(data, address=address, agent=request.headers.get("user-agent", ""))
    return Response(made.info, cookies=[_cookie(request, made.cookie, max_age_s=int(LOGIN_S))])


@post("/sign-out", operation_id="signOut", status_code=204, role=Role.VIEWER, audit=True)
async def sign_out(server_logins: NamedDependency[Logins], request: Asked) -> Response[None]:
    """Sign out the browser that sends the request."""
    login = login_of(request.scope)
    if login is None:
        raise BadInput("Only a signed-in browser can sign out; this request has an API token.")
    describe(request.scope, target=login.id, detail="")
    await server_logins.end(login.id)
    return Response(None, status_code=204, cookies=[_cookie(request, "", max_age_s=0)])


@post("/sign-in/codes", operation_id="createSignInCode", role=Role.VIEWER, audit=True)
async def create_sign_in_code(server_logins: NamedDependency[Logins], request: Asked) -> SignInCode:
    """Create a code that signs in one browser within five minutes, with the role of the token of this request.

    It needs the token itself: a signed-in browser cannot sign in another, or prolong its own login.
    """
    if login_of(request.scope) is not None:
        raise Forbidden("A signed-in browser cannot create a sign-in code.", hint="Use an API token: `qd ui`.")
    return await server_logins.create_code(request.user)


@get("/me", operation_id="showIdentity", role=Role.VIEWER)
async def show_identity(request: Asked) -> Identity:
    """Return who sends the request: the name and role of its token, and its login if a browser sent it."""
    return Identity(name=request.user.name, role=request.user.role, login=login_of(request.scope))


@get("/logins", operation_id="listLogins", role=Role.ADMIN)
async def list_logins(server_logins: NamedDependency[Logins]) -> list[Login]:
    """List the browsers that are signed in, the newest login first."""
    return await server_logins.list()


@delete("/logins/{login:str}", operation_id="endLogin", role=Role.ADMIN, audit=True)
async def end_login(server_logins: NamedDependency[Logins], login: FromPath[str]) -> None:
    """End a login. Its browser is refused from now on."""
    await server_logins.end(login)


def _cookie(request: Asked, value: str, *, max_age_s: int) -> Cookie:
    """Return the cookie, which scripts cannot read and browsers send from our own pages only."""
    secure = scheme(request.scope) == "https"
    return Cookie(COOKIE, value=value, max_age=max_age_s, httponly=True, samesite="strict", secure=secure)


ROUTES = (sign_in, sign_out, create_sign_in_code, show_identity, list_logins, end_login)
