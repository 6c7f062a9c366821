"""Headers that restrict what browsers do with the answers: on every answer, and the policy of pages."""

from __future__ import annotations

from litestar.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = "Content-Security-Policy"
_POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
#: of pages that set no other: everything comes from this server, and no script is in the page itself
PAGE_POLICY = _POLICY.format(scripts="'self'")
#: of pages of libraries, whose script is in the page
INLINE_SCRIPT_POLICY = _POLICY.format(scripts="'self' 'unsafe-inline'")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)
_POLICY_NAME = CONTENT_SECURITY_POLICY.lower().encode()


def with_security_headers(app: ASGIApp) -> ASGIApp:
    """Wrap `app` so that each of its answers has these headers; a page keeps a policy that it has set itself."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                names = {name.lower(): value for name, value in headers}
                if names.get(b"content-type", b"").startswith(b"text/html") and _POLICY_NAME not in names:
                    headers.append((_POLICY_NAME, PAGE_POLICY.encode()))
                message["headers"] = [*headers, *_HEADERS]
            await send(message)

        await app(scope, receive, send_with_headers)

    return call
