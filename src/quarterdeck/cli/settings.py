"""`qd config`: the values in effect, and the origin of each."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import Annotated, Any, Literal, NamedTuple, cast

import msgspec
from cyclopts import App, Parameter

from quarterdeck.cli import config
from quarterdeck.cli.formats import OutputOptions
from quarterdeck.cli.listing import Column, Listing
from quarterdeck.model.config import AgentConfig, ServerConfig
from quarterdeck.model.redaction import redacted

app = App(name="config", help="The configuration and where each value came from.")


class Setting(NamedTuple):
    """A key, its value, and its origin."""

    key: str
    value: Any
    origin: str


SETTINGS = Listing[Setting](
    columns=(
        Column("key", lambda s: s.key),
        Column("value", lambda s: s.value),
        Column("from", lambda s: s.origin),
    ),
    name=lambda s: s.key,
    struct=lambda s: {"key": s.key, "value": s.value, "from": s.origin},
    empty="",
)


@app.command
def show(
    section: Annotated[Literal["server", "agent"], Parameter(help="Which half of the configuration.")] = "server",
    /,
    *,
    how: OutputOptions = OutputOptions(),
) -> None:
    """Show every key of a section: its value, and whether a default, the file, the environment or a flag set it."""
    kind: type[ServerConfig | AgentConfig] = config.SECTIONS[section]
    loaded = config.load(kind, flags={})
    rows = [
        Setting(name, redacted(name, value), origin)
        for key, origin in loaded.origins.items()
        for name, value in _named(key, attrgetter(key)(loaded.config))
    ]
    SETTINGS.print_items(rows, how)


def _named(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield a key and its value; for named items, one line each with the fields that were set."""
    named = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    if named and all(isinstance(each, msgspec.Struct) for each in named.values()):
        for name, each in named.items():
            # what is empty by default is an empty map, and shows nothing either
            defaults = {field.name: field.default for field in msgspec.structs.fields(each)}
            fields = {part: set_ for part, set_ in msgspec.to_builtins(each).items() if set_ != {}}
            yield f"{key}.{name}", {part: fields[part] for part in fields if getattr(each, part) != defaults[part]}
    else:
        yield key, value
