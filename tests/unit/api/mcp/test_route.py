"""The route of the MCP API: what is not imported before its first request."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from unittest.mock import MagicMock
from quarterdeck.api.app import create_app
create_app(MagicMock())
print(sorted({name.partition(".")[0] for name in sys.modules} & {"mcp", "mcp_types", "pydantic", "httpx2", "uvicorn"}))
"""


def test_the_application_is_made_without_the_sdk_and_pydantic() -> None:
    found = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"
