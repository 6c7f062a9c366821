"""`tools/setup.sh`: what it says when nothing can be downloaded, and where it writes in bold."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest

TOOLS = ("bash", "cat", "cmp", "dirname", "grep", "mktemp", "rm", "tee")
SETUP = Path(__file__).parents[2] / "tools" / "setup.sh"


def setup(folder: Path, uv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it in a checkout whose `uv` is this script, on a host that has no apt-get."""
    line, path = checkout(folder, uv)
    return subprocess.run(line, env={"PATH": path, **environment}, capture_output=True, text=True, check=False)


def checkout(folder: Path, uv: str) -> tuple[list[str], str]:
    """Make the checkout; return the command line and its PATH."""
    (folder / "tools").mkdir()
    shutil.copy(SETUP, folder / "tools")
    for name in ("requirements.lock", "pyproject.toml"):
        (folder / name).touch()
    for name, script in (("python", "exit 0"), ("uv", uv)):
        program = folder / ".venv" / "bin" / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    path = folder / "bin"
    path.mkdir()
    for tool in TOOLS:
        (path / tool).symlink_to(shutil.which(tool) or tool)
    return [str(path / "bash"), str(folder / "tools" / "setup.sh")], str(path)


@pytest.mark.parametrize(
    "words",
    [
        "invalid peer certificate: UnknownIssuer",
        "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate in certificate chain",
    ],
)
def test_a_certificate_that_is_not_trusted_is_explained(tmp_path: Path, words: str) -> None:
    done = setup(tmp_path, f"echo '{words}' >&2; exit 2")
    assert done.returncode == 2
    assert words in done.stdout
    assert "SSL_CERT_FILE=/path/to/ca.pem" in done.stdout


def test_another_failure_is_left_to_its_own_words(tmp_path: Path) -> None:
    done = setup(tmp_path, "echo 'no such host'; exit 3")
    assert done.returncode == 3
    assert "SSL_CERT_FILE" not in done.stdout


def test_one_variable_is_enough_for_both_downloaders(tmp_path: Path) -> None:
    done = setup(tmp_path, 'echo "pip has $PIP_CERT"; exit 1', SSL_CERT_FILE="/etc/proxy.pem")
    assert "pip has /etc/proxy.pem" in done.stdout


def test_a_pipe_gets_no_styles(tmp_path: Path) -> None:
    done = setup(tmp_path, "exit 0")
    assert "==> installing the locked requirements\n" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(("no_color", "bold"), [("", True), ("1", False)])
def test_a_terminal_gets_bold_steps_unless_no_color_is_set(tmp_path: Path, no_color: str, bold: bool) -> None:
    line, path = checkout(tmp_path, "exit 0")
    terminal, end = pty.openpty()
    subprocess.run(line, env={"PATH": path, "NO_COLOR": no_color}, stdout=end, stderr=subprocess.DEVNULL, check=False)
    os.close(end)
    shown = os.read(terminal, 65536).decode()
    os.close(terminal)
    assert "==> installing the locked requirements" in shown
    assert ("\x1b[1m" in shown) is bold
