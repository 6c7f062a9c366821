"""Logins: people who are signed in to the web UI, and the single-use codes with which a link signs them in."""

from __future__ import annotations

from quarterdeck.model.struct import Struct
from quarterdeck.model.tokens import Role


class Login(Struct, frozen=True, kw_only=True):
    """A browser that is signed in with an API token. It has the token's role, and ends with the token."""

    id: str
    token_id: str
    name: str  #: of the token
    role: Role  #: of the token
    create_time: float  #: seconds since the epoch
    expires_at: float  #: seconds since the epoch
    seen_at: float  #: last request, stored at most once a minute
    address: str = ""  #: from which it signed in; "": this machine's Unix socket
    agent: str = ""  #: what the browser calls itself


class SignInCode(Struct, frozen=True, kw_only=True):
    """A code that signs in one browser, once. It is shown only here; the server stores its hash."""

    code: str
    path: str  #: of the page that signs in with it, for behind `http://HOST:PORT`
    expires_at: float  #: seconds since the epoch


class SignIn(Struct, frozen=True, kw_only=True):
    """The body of signIn: a code, or the text of an API token."""

    code: str = ""
    token: str = ""


class Identity(Struct, frozen=True, kw_only=True):
    """The sender of a request: the API token, and the login if the request came from a signed-in browser."""

    name: str  #: of the token
    role: Role
    login: Login | None = None
