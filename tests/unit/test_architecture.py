"""The house rules that a machine can check; the floors themselves are import-linter's."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent.parent / "src" / "quarterdeck"
FILES = sorted(SOURCE.rglob("*.py"))
LINE_LIMIT = 400
#: file → why it may be longer
LONG: dict[str, str] = {}

HEAVY = ("pyarrow", "litestar", "sqlalchemy", "chdb", "clickhouse_connect", "pydantic")


def named(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def docstring(path: Path) -> str | None:
    return ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", FILES, ids=named)
def test_a_file_says_what_it_is_and_is_not_too_long(path: Path) -> None:
    assert docstring(path), "it opens without a docstring"
    assert len(path.read_text().splitlines()) < LINE_LIMIT or named(path) in LONG


def test_every_folder_of_code_is_a_package() -> None:
    migrations = SOURCE / "store" / "state" / "migrations" / "versions"  # Alembic finds these by their place
    packages = {path.parent for path in FILES if path.name == "__init__.py"}
    assert {path.parent for path in FILES} - packages <= {migrations}


def test_exceptions_are_still_needed() -> None:
    assert all(len((SOURCE / name).read_text().splitlines()) >= LINE_LIMIT for name in LONG)


def imported_by(statement: str) -> set[str]:
    """The top-level packages in memory after `statement` ran in an interpreter of its own."""
    program = (
        f"import sys, json\n{statement}\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_agent_imports_neither_stores_nor_web_frameworks() -> None:
    assert not imported_by("import quarterdeck.agent.agent").intersection(HEAVY)


def test_the_client_needs_only_msgspec_and_httpx() -> None:
    assert not imported_by("import quarterdeck.client").intersection(
        {*HEAVY, "numpy", "grpc", "cryptography", "cyclopts"}
    )


def test_asking_for_help_imports_nothing_heavy() -> None:
    help_ = "from quarterdeck.cli.main import app\napp(['--help'], result_action='return_value')"
    assert not imported_by(help_).intersection({*HEAVY, "grpc", "numpy", "cryptography", "wasmtime", "cffi", "alembic"})
