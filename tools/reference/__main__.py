"""`python -m tools.reference [PAGE …]`: write all pages, or those named."""

from __future__ import annotations

import sys

from tools.reference import FOLDER, PAGES, render

for page in sys.argv[1:] or PAGES:
    (FOLDER / f"{page}.md").write_text(render(page))
    print(f"docs/reference/{page}.md")
