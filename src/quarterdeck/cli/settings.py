"""`qd config`: what is set, and where each value came from."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import App, Parameter

from quarterdeck.cli import config, output
from quarterdeck.cli.arguments import Json
from quarterdeck.model.config import AgentConfig, ServerConfig

app = App(name="config", help="The configuration and where each value came from.")
_SECRET = frozenset({"token"})
_URLS = frozenset({"state_url", "telemetry_url"})  # they may hold a password


@app.command
def show(
    section: Annotated[Literal["server", "agent"], Parameter(help="Which half of the configuration.")] = "server",
    /,
    *,
    json: Json = False,
) -> None:
    """Show every key of a section: its value, and whether a default, the file, the environment or a flag set it."""
    kind: type[ServerConfig | AgentConfig] = config.SECTIONS[section]
    loaded = config.load(kind, flags={})
    rows = [{"key": key, "value": _value(loaded.config, key), "from": origin} for key, origin in loaded.origins.items()]
    output.show(
        rows,
        {"key": lambda r: r["key"], "value": lambda r: r["value"], "from": lambda r: r["from"]},
        json=json,
        empty="",
    )


def _value(settings: msgspec.Struct, key: str) -> Any:
    value: Any = settings
    for part in key.split("."):
        value = getattr(value, part)
    if key in _URLS and isinstance(value, str):
        return re.sub(r"(?<=:)[^:/@]+(?=@)", "***", value)
    return "(set)" if key in _SECRET and value else value
