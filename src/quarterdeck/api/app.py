"""The HTTP application: routes, access, problems, OpenAPI with Swagger UI at /schema (served without any CDN)."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from litestar import Litestar, Router
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, SwaggerRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.static_files import create_static_files_router  # pyright: ignore[reportUnknownVariableType]

from quarterdeck import __version__
from quarterdeck.api import about, files, jobs, messages, modules, nodes, problems, schedules, services, tables, tokens
from quarterdeck.api.access import PUBLIC, Access
from quarterdeck.api.followers import Followers
from quarterdeck.api.paths import WholeNames
from quarterdeck.server.server import Server

SWAGGER_FILES = "/schema-assets"


def create_app(server: Server) -> Litestar:
    """The ASGI application of one running server."""

    def provide_server() -> Server:
        return server

    return Litestar(
        route_handlers=[
            Router("/", route_handlers=about.ROUTES, tags=["about"]),
            *(
                Router("/api/v1", route_handlers=noun.ROUTES, tags=[noun.__name__.rpartition(".")[2]])
                for noun in (nodes, jobs, messages, schedules, modules, services, files, tables, tokens)
            ),
            create_static_files_router(
                path=SWAGGER_FILES,
                directories=[Path(str(resources.files("swagger_ui"))) / "static"],
                opt={PUBLIC: True},
                include_in_schema=False,
            ),
        ],
        dependencies={"server": Provide(provide_server, sync_to_thread=False)},
        middleware=[WholeNames(), Access(server), Followers(server)],
        exception_handlers=problems.HANDLERS,
        openapi_config=_openapi(),
        logging_config=None,
        debug=False,
    )


def _openapi() -> OpenAPIConfig:
    swagger = SwaggerRenderPlugin(
        path="/",
        js_url=f"{SWAGGER_FILES}/swagger-ui-bundle.js",
        css_url=f"{SWAGGER_FILES}/swagger-ui.css",
        standalone_preset_js_url=f"{SWAGGER_FILES}/swagger-ui-standalone-preset.js",
    )
    return OpenAPIConfig(
        title="Quarterdeck",
        version=__version__,
        description="Runs things on nodes, sees what they do, and answers in SQL.",
        openapi_router=Router("/schema", route_handlers=[], opt={PUBLIC: True}, include_in_schema=False),
        use_handler_docstrings=True,
        render_plugins=[swagger, JsonRenderPlugin(path="/openapi.json")],
        components=Components(security_schemes={"token": SecurityScheme(type="http", scheme="bearer")}),
        security=[{"token": []}],
    )
