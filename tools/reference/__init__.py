"""Writes docs/reference from the code, one file here for each page there; a test fails when a page differs.

`python -m tools.reference` (or `make docs`) writes the pages. What a page says comes from the code's own words:
docstrings, `#:` comments, tables of codes and states, the OpenAPI document, the modules' builds.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

FOLDER = Path(__file__).parent.parent.parent / "docs" / "reference"
#: each is written by the file of its name here
PAGES = ("cli", "config", "commands", "errors", "api", "tables", "link", "types", "states")
NOTICE = "<!-- Written from the code by `make docs`; edits here are lost. -->\n\n"


def render(page: str) -> str:
    """The page as it should be."""
    text: str = import_module(f"tools.reference.{page}").page()
    return NOTICE + text.rstrip() + "\n"
