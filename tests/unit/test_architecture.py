"""The house rules that a machine can check; the floors themselves are import-linter's."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent.parent / "src" / "quarterdeck"
FILES = sorted(SOURCE.rglob("*.py"))
LINE_LIMIT = 400
#: file → why it may be longer
LONG: dict[str, str] = {}

TESTS = Path(__file__).parent.parent
TEST_FILES = sorted([*TESTS.rglob("*.py"), *(TESTS.parent / "modules").rglob("test_*.py")])
CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]+")
#: what a test may not replace either: it passes a clock
CLOCKS = frozenset({"time", "monotonic"})
#: file → why its tests replace a constant or a clock
PATCHES = {"integration/agent/processes/test_lives.py": "somebody sets the host's clock while the agent runs"}

HEAVY = (
    "pyarrow", "litestar", "sqlalchemy", "chdb", "clickhouse_connect", "pydantic", "mcp", "strawberry", "graphql",
)  # fmt: skip


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


def constants(tree: ast.Module) -> Iterator[str]:
    """Yield the names in upper case that a module defines."""
    for statement in tree.body:
        for node in ast.walk(statement) if isinstance(statement, ast.Assign | ast.AnnAssign) else ():
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and CONSTANT.fullmatch(node.id):
                yield node.id


def programs(tree: ast.Module) -> Iterator[ast.Module]:
    """Yield the module, and the programs in its strings."""
    yield tree
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "import " in node.value:
            try:
                yield ast.parse(textwrap.dedent(node.value))
            except SyntaxError:  # no program of Python
                continue


def replaced(tree: ast.Module) -> Iterator[str]:
    """Yield the attributes that are set by monkeypatch, mock or `setattr`, and constants that are assigned."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and CONSTANT.fullmatch(node.attr):
            yield node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
            if function in {"setattr", "delattr", "object", "patch"}:
                texts = (each.value for each in node.args[:2] if isinstance(each, ast.Constant))
                yield from (text.rpartition(".")[2] for text in texts if isinstance(text, str))


def test_tests_pass_limits_and_clocks_and_replace_none() -> None:
    ours = {name for path in FILES for name in constants(ast.parse(path.read_text()))} | CLOCKS
    found: dict[str, set[str]] = {}
    for path in TEST_FILES:
        names = {name for each in programs(ast.parse(path.read_text())) for name in replaced(each)} & ours
        if names:
            found[str(path).removeprefix(f"{TESTS}/")] = names
    assert found.keys() == PATCHES.keys(), found


@pytest.mark.parametrize(
    ("program", "names"),
    [
        ('monkeypatch.setattr(module, "RETRY_S", 0.01)', {"RETRY_S"}),
        ('monkeypatch.setattr("quarterdeck.agent.outbox.TICK_S", 0.01)', {"TICK_S"}),
        ('with mock.patch.object(module, "_LIMIT", 3): pass', {"_LIMIT"}),
        ('with patch("quarterdeck.agent.outbox.time"): pass', {"time"}),
        ("module.TICK_S, module.SIZE = 0.01, 4096", {"TICK_S", "SIZE"}),
        ('PROGRAM = """\n    import asyncio\n    module.TICK_S = 0.01\n"""', {"TICK_S"}),
        ('"an import of module.TICK_S = "', set[str]()),
        ("assert module.TICK_S == 1.0", set[str]()),
        ("outbox = Outbox(upkeep=Upkeep(tick_s=0.01))", set[str]()),
    ],
)
def test_what_a_test_replaces_is_seen(program: str, names: set[str]) -> None:
    assert {name for each in programs(ast.parse(program)) for name in replaced(each)} == names


@pytest.mark.parametrize("path", sorted((SOURCE / "keeper").glob("*.py")), ids=named)
def test_the_keeper_imports_the_standard_library_only(path: Path) -> None:
    imported: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
    foreign = {name for name in imported if name.partition(".")[0] not in sys.stdlib_module_names}
    assert all(name.startswith("quarterdeck.keeper") for name in foreign)


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


def test_the_application_imports_graphql_only_when_it_is_asked() -> None:
    assert not imported_by("import quarterdeck.api.app").intersection({"strawberry", "graphql"})


def test_asking_for_help_imports_nothing_heavy() -> None:
    help_ = "from quarterdeck.cli.verbs import app\napp(['--help'], result_action='return_value')"
    assert not imported_by(help_).intersection({*HEAVY, "grpc", "numpy", "cryptography", "wasmtime", "cffi", "alembic"})
