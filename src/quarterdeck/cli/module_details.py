"""A module or a build in detail: programs, settings, tables with their columns."""

from __future__ import annotations

from collections.abc import Iterator

from rich.markup import escape

from quarterdeck.cli import output
from quarterdeck.cli.cells import Size
from quarterdeck.cli.formats import OutputOptions
from quarterdeck.cli.listing import Column, Listing, print_details
from quarterdeck.cli.selection import in_words
from quarterdeck.model.manifests import SettingValue
from quarterdeck.model.modules import Module, ModuleState, Setting
from quarterdeck.model.tables import Column as TableColumn

#: elements printed of a setting that is an array, and characters of one that is bytes in hex
_ELEMENTS, _CHARACTERS = 8, 64


def _value(value: SettingValue | None) -> object:
    """Return a setting's value as a table shows it: of a long array its beginning and its length."""
    if isinstance(value, list) and len(value) > _ELEMENTS:
        if not any(value):
            return f"{len(value)} zeros"
        return f"[{', '.join(map(str, value[:_ELEMENTS]))}, …] ({len(value)} in all)"
    if isinstance(value, str) and len(value) > _CHARACTERS:
        return f"{value[:_CHARACTERS]}… ({len(value)} characters)" if value.strip("0") else f"{len(value)} zeros"
    return value


def print_build(module: Module, how: OutputOptions) -> None:
    """Print a module, or one that was only built."""
    print_details(module, lambda: _details(module), how, name=module.name, more=lambda: _print_parts(module, how))


def _details(module: Module) -> Iterator[tuple[str, object]]:
    build = module.build
    manifest = build.manifest
    deployed = module.desire_state is ModuleState.DEPLOYED
    yield from (
        ("module", manifest.name),
        ("description", manifest.description),
        ("version", f"{manifest.version} {build.digest[:12]}".strip()),
        ("state", module.desire_state if module.id else ""),
        ("deployed on", in_words(module.selector) if deployed else ""),
        ("programs", " ".join(build.programs)),
        ("object", Size(build.object.size)),
    )


def _print_parts(module: Module, how: OutputOptions) -> None:
    build = module.build
    for warning in build.warnings:
        output.errors.print(f"[yellow]warning:[/] {escape(warning)}")
    if build.settings:
        output.console.print("\n[bold]settings[/]")
        _settings(module).print_items(build.settings, how)
    for source in build.sources:
        table = source.table
        output.console.print(f"\n[bold]table {escape(table.name)}[/] {escape(table.description)}")
        TABLE_COLUMNS.print_items(table.columns, how)


def _settings(module: Module) -> Listing[Setting]:
    return Listing[Setting](
        columns=(
            Column("name", lambda s: s.name),
            Column("type", lambda s: s.type),
            Column("value", lambda s: _value(module.settings.get(s.name, s.default))),
            Column("description", lambda s: s.description),
        ),
        name=lambda s: s.name,
        empty="",
    )


TABLE_COLUMNS = Listing[TableColumn](
    columns=(
        Column("column", lambda c: c.name),
        Column("type", lambda c: f"list({c.item})" if c.item else c.type),
        Column("unit", lambda c: c.unit),
        Column("description", lambda c: c.description),
    ),
    name=lambda c: c.name,
    empty="",
)
