"""The wheel: built here, installed into empty environments, and used there as by somebody who has no compiler."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from quarterdeck.bpf.btf import KERNEL_BTF
from tests.support import require

ROOT = Path(__file__).parent.parent.parent
MODULES = sorted(path.parent.name for path in ROOT.glob("modules/*/module.toml"))
UV = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")

pytestmark = pytest.mark.timeout(600)


def run(
    *command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs without our own paths and settings, so that nothing of this checkout leaks in."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("QD_", "PYTHON"))}
    return subprocess.run(
        [str(part) for part in command],
        env={**inherited, **(env or {})},
        cwd=cwd or "/",
        capture_output=True,
        text=True,
        check=False,
    )


def build(target: Path, kind: str = "wheel") -> Path:
    """The one file that the build of this checkout makes."""
    done = run(sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", target, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(target.iterdir())


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require(KERNEL_BTF.exists(), "modules are compiled against the kernel's BTF")
    return build(tmp_path_factory.mktemp("wheel"))


def install(folder: Path, requirement: str) -> Path:
    """The `bin` of an empty environment with this installed, at the locked versions; from the cache where it can."""
    assert UV is not None
    assert run(UV, "venv", "-q", "--python", sys.executable, folder).returncode == 0
    command = [
        UV,
        "pip",
        "install",
        "-q",
        "--python",
        str(folder / "bin" / "python"),
        "-c",
        str(ROOT / "requirements.lock"),
    ]
    done = run(*command, "--offline", requirement)
    if done.returncode:
        done = run(*command, requirement)
    assert done.returncode == 0, done.stderr
    return folder / "bin"


def test_the_wheel_holds_the_built_in_modules_compiled_and_their_sources(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for module in MODULES:
        assert f"quarterdeck/builtin/{module}.json" in names
        assert f"quarterdeck/modules/{module}/module.toml" in names
    assert {
        "quarterdeck/wasm/guests/spans.wasm",
        "quarterdeck/wasm/guests/statsd.wasm",
        "quarterdeck/wasm/include/quarterdeck.h",
        "quarterdeck/modulekit/include/bpf/bpf_helpers.h",
        "quarterdeck/agent/modules/gather.wat",
        "quarterdeck/store/state/migrations/script.py.mako",
        "quarterdeck/store/state/migrations/versions/0001_first.py",
        "quarterdeck/py.typed",
    } <= set(names)


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if "test_" in name or "__pycache__" in name or ".new" in name]
    assert {name.partition("/")[0] for name in names} == {
        "quarterdeck",
        "-".join(wheel.name.split("-")[:2]) + ".dist-info",
    }


def test_no_file_of_the_wheel_names_a_path_of_the_machine_that_built_it(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    wanted = re.compile(b"|".join(re.escape(str(path).encode()) for path in (ROOT, Path.home() / ".cache", sys.prefix)))
    assert not [name for name in archive.namelist() if wanted.search(archive.read(name))]


def test_the_wheel_is_for_this_architecture_and_comes_out_the_same_again(wheel: Path, tmp_path: Path) -> None:
    assert wheel.name.endswith(f"-py3-none-linux_{platform.machine()}.whl")
    again = build(tmp_path / "again")
    first, second = zipfile.ZipFile(wheel), zipfile.ZipFile(again)
    assert first.namelist() == second.namelist()
    assert not [name for name in first.namelist() if first.read(name) != second.read(name)]
    assert again.read_bytes() == wheel.read_bytes()


def test_the_source_archive_holds_what_the_wheel_is_made_of(tmp_path: Path) -> None:
    listed = run("tar", "tzf", build(tmp_path, "sdist")).stdout.splitlines()
    names = {name.partition("/")[2] for name in listed}
    assert {"pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "modules/execs/execs.bpf.c"} <= names
    assert not [name for name in names if name.endswith((".wasm", ".pyc")) or "/builtin/" in name]


def test_without_extras_qd_runs_and_says_what_is_needed_for_the_rest(wheel: Path, tmp_path: Path) -> None:
    programs = install(tmp_path / "environment", str(wheel))
    home = {"QD_HOME": str(tmp_path / "home")}
    assert run(programs / "qd", "--version").stdout.strip() == wheel.name.split("-")[1]
    assert "module" in run(programs / "qd", "--help").stdout
    assert "server" in run(programs / "qd", "config", "show", "agent", env=home).stdout
    for command, extra in (
        (("server",), "server"),
        (("agent",), "agent"),
        (("doctor",), "agent"),
        (("module", "build", str(ROOT / "modules" / "execs")), "build"),
    ):
        done = run(programs / "qd", *command, env=home)
        assert done.returncode == 69, done.stderr
        assert f"pip install 'quarterdeck[{extra}]'" in done.stderr
        assert "Traceback" not in done.stderr
    done = run(programs / "qd", "node", "ls", env=home)
    assert (done.returncode, "No API token" in done.stderr) == (3, True)


def test_with_the_server_extra_qd_up_serves_the_built_in_modules_and_compiles_nothing(
    wheel: Path, tmp_path: Path
) -> None:
    programs = install(tmp_path / "environment", f"{wheel}[server]")
    cache = tmp_path / "cache"
    settings = {"QD_HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(cache)}
    started = run(programs / "qd", "up", "--detach", "--http", "127.0.0.1:0", "--link", "127.0.0.1:0", env=settings)
    try:
        assert started.returncode == 0, started.stderr + (tmp_path / "home" / "up.log").read_text()
        shown = [run(programs / "qd", "module", "show", module, "--json", env=settings) for module in MODULES]
        assert all(done.returncode == 0 and '"builtin": true' in done.stdout for done in shown), shown
        answer = run(programs / "qd", "query", "SELECT 6 * 7 AS answer", "-o", "csv", env=settings)
        assert answer.stdout == '"answer"\n42\n', answer.stderr
    finally:
        ended = run(programs / "qd", "down", env=settings)
    assert ended.returncode == 0, ended.stderr
    assert not cache.exists()
    assert run(programs / "qd", "status", env=settings).returncode == 69
