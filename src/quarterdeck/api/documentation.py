"""The page that documents the server's errors, at the address in the `type` of each problem document.

It is rendered from `model/errors`, as `docs/reference/errors.md` is, and requires no token, like the OpenAPI document.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from litestar import MediaType, get

from quarterdeck.model.errors import ERRORS_PATH, QuarterdeckError

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Errors of Quarterdeck</title>
<style>body {{ font: 16px/1.5 sans-serif; max-width: 50em; margin: 2em auto }} :target {{ background: #ff8 }}</style>
<h1>Errors</h1>
<p>Every error has a stable code. The API answers with a problem document (RFC 9457) that carries it,
<code>qd</code> exits with its exit code, and the Python client raises its class, from
<code>quarterdeck.model.errors</code>.</p>
<dl>
{entries}
</dl>
</html>
"""


@get(ERRORS_PATH, public=True, media_type=MediaType.HTML, include_in_schema=False, sync_to_thread=False)
def errors() -> str:
    """List every error with its code. The `type` of a problem document refers to this page."""
    return _PAGE.format(entries="\n".join(_entries(QuarterdeckError)))


def _entries(kind: type[QuarterdeckError]) -> Iterator[str]:
    code, doc = escape(kind.code), escape((kind.__doc__ or "").strip())
    yield (
        f'<dt id="{code}"><code>{code}</code></dt>'
        f"<dd>{doc} HTTP {kind.http_status}, gRPC {kind.grpc_status}, exit code {kind.exit_code},"
        f" class <code>{kind.__name__}</code>.</dd>"
    )
    for child in kind.__subclasses__():
        if child.__module__ == QuarterdeckError.__module__:
            yield from _entries(child)


ROUTES = (errors,)
