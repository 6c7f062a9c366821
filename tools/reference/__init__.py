"""The generator of docs/reference from the code, with one file for each page; a test fails when a page differs.

`python -m tools.reference` (or `make docs`) writes the pages. Their content comes from the code: docstrings, `#:`
comments, tables of codes and states, the OpenAPI document, and the builds of modules.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

FOLDER = Path(__file__).parent.parent.parent / "docs" / "reference"
#: each page is written by the file of its name
PAGES = ("cli", "config", "commands", "errors", "api", "graphql", "mcp", "tables", "link", "types", "states")
NOTICE = "<!-- Generated from the code by `make docs`; edits here are lost. -->\n\n"


def render(page: str) -> str:
    """Return the current content of the page."""
    text: str = import_module(f"tools.reference.{page}").page()
    return NOTICE + text.rstrip() + "\n"
