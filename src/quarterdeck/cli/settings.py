"""`qd config`: what is set, and where each value came from."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import Annotated, Any, Literal, cast

import msgspec
from cyclopts import App, Parameter

from quarterdeck.cli import config, output
from quarterdeck.cli.arguments import Json
from quarterdeck.cli.shown import shown
from quarterdeck.model.config import AgentConfig, ServerConfig

app = App(name="config", help="The configuration and where each value came from.")


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
    rows = [
        {"key": name, "value": shown(name, value), "from": origin}
        for key, origin in loaded.origins.items()
        for name, value in _named(key, attrgetter(key)(loaded.config))
    ]
    output.show(
        rows,
        {"key": lambda r: r["key"], "value": lambda r: r["value"], "from": lambda r: r["from"]},
        json=json,
        empty="",
    )


def _named(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A key and its value; of named things each has a line, with what was set of it."""
    named = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    if named and all(isinstance(each, msgspec.Struct) for each in named.values()):
        for name, each in named.items():
            # what is empty by default is an empty map, and shows nothing either
            defaults = {field.name: field.default for field in msgspec.structs.fields(each)}
            fields = {part: set_ for part, set_ in msgspec.to_builtins(each).items() if set_ != {}}
            yield f"{key}.{name}", {part: fields[part] for part in fields if getattr(each, part) != defaults[part]}
    else:
        yield key, value
