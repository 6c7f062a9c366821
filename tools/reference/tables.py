"""tables.md: the tables that every server has, and those of the built-in modules."""

from __future__ import annotations

from pathlib import Path

from quarterdeck.model.modules import Build
from quarterdeck.model.tables import SERVER_COLUMNS, Table
from quarterdeck.modulekit.build import build_module
from quarterdeck.modulekit.folder import read_folder
from quarterdeck.server.tables import BUILT_IN
from tools.reference.markdown import code, table

MODULES = Path(__file__).parent.parent.parent / "modules"

_INTRODUCTION = """# Tables

`qd tables` lists the tables of a running server, and `qd module show NAME` the tables of a module. In addition to the
columns below, every table has {added}. [Types](types.md) describes the types in SQL.

## Tables of every server
"""


def page() -> str:
    """Return the page. Modules are built for it, from sources or from an earlier build."""
    added = ", ".join(f"{code(column.name)} ({column.description})" for column in SERVER_COLUMNS)
    parts = [
        _INTRODUCTION.format(added=added),
        *(_table(each) for each in BUILT_IN),
    ]
    for folder in sorted(path.parent for path in MODULES.glob("*/module.toml")):
        build = build_module(read_folder(folder)).build
        parts.append(_module(build))
        parts += [_table(source.table) for source in build.sources]
    return "\n".join(parts)


def _module(build: Build) -> str:
    words = f"## Tables of the module {build.manifest.name}\n\n{build.manifest.description}.\n"
    if not build.settings:
        return words
    rows = [(code(each.name), code(each.type), code(each.default), each.description) for each in build.settings]
    return words + "\n" + table(("setting", "type", "default", ""), rows)


def _table(each: Table) -> str:
    kept = f"kept {each.retention_s / 86400:g} days" if each.retention_s else "kept without limit"
    rows = [(code(c.name), f"list of {c.item}" if c.item else c.type, c.unit, c.description) for c in each.columns]
    words = f"{each.description}; {kept}, ordered by {', '.join(each.order)}."
    return f"### {each.name}\n\n{words}\n\n" + table(("column", "type", "unit", ""), rows)
