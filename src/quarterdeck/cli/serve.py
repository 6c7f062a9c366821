"""`qd server` and `qd agent`: the two long-running processes, in the foreground, ended cleanly by SIGTERM or Ctrl-C."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from quarterdeck.cli import config
from quarterdeck.cli.agent import become
from quarterdeck.cli.arguments import key_value
from quarterdeck.cli.processes import not_installed, run_until_ended, start_logging
from quarterdeck.kit.garbage import keep_present
from quarterdeck.model.config import AgentConfig, ServerConfig

ConfigFile = Annotated[
    Path | None, Parameter(name="--config", help="TOML file; default: quarterdeck.toml in the home.")
]
Home = Annotated[str | None, Parameter(help="Data folder [env: QD_HOME].")]


def server(
    *,
    home: Home = None,
    http: Annotated[str | None, Parameter(help="Address of the API, host:port [env: QD_HTTP].")] = None,
    link: Annotated[str | None, Parameter(help="Address agents connect to, host:port [env: QD_LINK].")] = None,
    link_https: Annotated[
        str | None,
        Parameter(help="Address for agents that may speak only HTTPS, host:port [env: QD_SERVER_LINK__HTTPS]."),
    ] = None,
    name: Annotated[tuple[str, ...], Parameter(help="Further host name for its certificate.")] = (),
    state_url: Annotated[str | None, Parameter(help="State store: a SQLAlchemy URL; default: SQLite.")] = None,
    telemetry_url: Annotated[str | None, Parameter(help="ClickHouse server; default: embedded chDB.")] = None,
    redis: Annotated[str | None, Parameter(help="Redis to take commands from, a URL [env: QD_REDIS].")] = None,
    config_file: ConfigFile = None,
) -> None:
    """Run a server."""
    flags = {
        "home": home,
        "http": http,
        "link.address": link,
        "link.https": link_https,
        "link.names": list(name) or None,
        "state_url": state_url,
        "telemetry_url": telemetry_url,
        "redis.url": redis,
    }
    settings = config.load(ServerConfig, flags=flags, file=config_file).config
    start_logging("server")
    run_until_ended(_serve(settings))


def agent(
    *,
    home: Home = None,
    server: Annotated[str | None, Parameter(help="The server's link: host:port or https://… [env: QD_LINK].")] = None,
    token: Annotated[str | None, Parameter(help="Join token, needed once [env: QD_AGENT_TOKEN].")] = None,
    name: Annotated[str | None, Parameter(help="Node name; default: the host name.")] = None,
    label: Annotated[tuple[str, ...], Parameter(help="Label of this node, key=value. Repeatable.")] = (),
    config_file: ConfigFile = None,
) -> None:
    """Run the agent of this node."""
    flags = {
        "home": home,
        "server": server,
        "token": token,
        "name": name,
        "labels": dict(key_value(text, "a label") for text in label) or None,
    }
    settings = config.load(AgentConfig, flags=flags, file=config_file).config
    become(settings)


async def _serve(settings: ServerConfig) -> None:
    try:
        from quarterdeck.api.app import create_app  # noqa: PLC0415
        from quarterdeck.api.serve import HttpServer  # noqa: PLC0415
        from quarterdeck.server.server import Server  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise not_installed(error, "server", extra="server") from error
    deck = Server(settings)
    await deck.start()
    try:
        http = HttpServer(
            create_app(deck),
            settings.http,
            names=settings.http_names,
            local=deck.http_socket,
            connections=deck.connections.http,
        )
        try:
            await http.start()
            keep_present()
            await deck.about.publish(http.address)
            await http.ended()
        finally:
            await http.stop()
    finally:
        await deck.stop()
