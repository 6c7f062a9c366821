"""`python -m tools.reference [PAGE …]`: writes all pages, or those named."""

from __future__ import annotations

import sys

from tools.reference import FOLDER, PAGES, render

pages = sys.argv[1:] or PAGES
sys.argv = ["qd"]  # cyclopts would write how this was started into the usage lines
for page in pages:
    (FOLDER / f"{page}.md").write_text(render(page))
    print(f"docs/reference/{page}.md")
