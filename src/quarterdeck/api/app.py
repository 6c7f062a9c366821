"""The HTTP application: routes, access control, problem documents, OpenAPI with Swagger UI at /schema (no CDN).

It alone knows the whole server: a handler takes only the service that does its work, by a name in `_dependencies`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from litestar import Litestar, Router
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, SwaggerRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.plugins import PluginProtocol
from litestar.plugins.core import MsgspecDIPlugin
from litestar.static_files import create_static_files_router  # pyright: ignore[reportUnknownVariableType]

from quarterdeck import __version__
from quarterdeck.api import about, documentation, graphql, log, problems, rest, ui
from quarterdeck.api.access import COOKIE, PUBLIC, Access
from quarterdeck.api.followers import Followers
from quarterdeck.api.mcp.backend import Backend
from quarterdeck.api.mcp.route import Mcp, create_route
from quarterdeck.api.paths import WholeNames
from quarterdeck.api.security_headers import CONTENT_SECURITY_POLICY, INLINE_SCRIPT_POLICY
from quarterdeck.server.server import Server

SWAGGER_FILES = "/schema-assets"


class _Application(Litestar):
    """Litestar without its plugins for pydantic and attrs, which it would import only because they are installed."""

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return [*plugins, MsgspecDIPlugin()]


def create_app(server: Server, *, ui_folders: Sequence[Path] = ui.FOLDERS) -> Litestar:
    """Return the ASGI application of a running server; the web UI is in the first of `ui_folders` that has it."""
    services = _dependencies(server)
    mcp = Mcp(_backend(server))
    return _Application(
        route_handlers=[
            Router("/", route_handlers=(*about.ROUTES, *documentation.ROUTES), tags=["about"]),
            *rest.ROUTERS,
            Router("/log", route_handlers=log.ROUTES, tags=["messages"]),
            *ui.routes(ui.Assets(ui_folders)),
            graphql.router(services),
            create_route(mcp),
            create_static_files_router(
                path=SWAGGER_FILES,
                directories=[Path(str(resources.files("swagger_ui"))) / "static"],
                opt={PUBLIC: True},
                include_in_schema=False,
            ),
        ],
        dependencies={name: _provide(value) for name, value in services.items()},
        middleware=[
            WholeNames(),
            Access(server.tokens, server.logins, server.audit),
            Followers(server.credentials, live_streams=server.config.live_streams),
        ],
        exception_handlers=problems.HANDLERS,
        on_shutdown=[mcp.close],
        openapi_config=_openapi(),
        logging_config=None,
        debug=False,
    )


def _dependencies(server: Server) -> dict[str, object]:
    """Return the services of the server that handlers can take as parameters, by the names of the parameters.

    No field of a body may have such a name: Litestar takes an error in it for a fault of the server.
    """
    return {
        "server_about": server.about,
        "server_audit": server.audit,
        "server_commands": server.commands,
        "server_files": server.files,
        "server_logins": server.logins,
        "server_messages": server.messages,
        "server_modules": server.modules,
        "server_nodes": server.nodes,
        "server_output": server.output,
        "server_queries": server.queries,
        "server_saved_queries": server.saved_queries,
        "server_schedules": server.schedules,
        "server_scripts": server.scripts,
        "server_services": server.services,
        "server_tables": server.tables,
        "server_tail": server.tail,
        "server_tokens": server.tokens,
        "server_transfers": server.transfers,
    }


def _backend(server: Server) -> Backend:
    return Backend(
        about=server.about,
        audit=server.audit,
        commands=server.commands,
        messages=server.messages,
        modules=server.modules,
        nodes=server.nodes,
        queries=server.queries,
        services=server.services,
        tables=server.tables,
    )


def _provide(value: object) -> Provide:
    return Provide(lambda: value, sync_to_thread=False)


def _openapi() -> OpenAPIConfig:
    swagger = SwaggerRenderPlugin(
        path="/",
        favicon='<link rel="icon" href="data:,">',  # the default one is loaded from elsewhere
        js_url=f"{SWAGGER_FILES}/swagger-ui-bundle.js",
        css_url=f"{SWAGGER_FILES}/swagger-ui.css",
        standalone_preset_js_url=f"{SWAGGER_FILES}/swagger-ui-standalone-preset.js",
    )
    return OpenAPIConfig(
        title="Quarterdeck",
        version=__version__,
        description="Runs things on nodes, sees what they do, and answers in SQL.",
        openapi_router=Router(
            "/schema",
            route_handlers=[],
            opt={PUBLIC: True},
            include_in_schema=False,
            response_headers={CONTENT_SECURITY_POLICY: INLINE_SCRIPT_POLICY},
        ),
        use_handler_docstrings=True,
        render_plugins=[swagger, JsonRenderPlugin(path="/openapi.json")],
        components=Components(
            security_schemes={
                "token": SecurityScheme(type="http", scheme="bearer"),
                "login": SecurityScheme(type="apiKey", name=COOKIE, security_scheme_in="cookie"),
            }
        ),
        security=[{"token": []}, {"login": []}],
    )
