"""Salt as a peer: a master and minions as processes, in a temporary folder, on ports of their own.

Each is asked by Salt's own client (`salt_client.py`, run by its interpreter), as a Python program would ask it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.measure import note, wait_until
from bench.peers import environment
from tests.fleet import free_port

REQUIREMENT = "salt==3008.3"
UP_S, ASK_S = 120.0, 120.0
_CLIENT = Path(__file__).with_name("salt_client.py")


class Salt:
    """Running."""

    def __init__(self, programs: Path, config: Path) -> None:
        self._programs = programs
        self._config = config

    def ask(self, what: str, *arguments: object) -> dict[str, float]:
        """What the client measured: see `salt_client.py`."""
        command = [self._programs / "python", "-I", _CLIENT, self._config, what, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=ASK_S, check=False)
        if done.returncode:
            raise RuntimeError(f"Salt's client: {done.stderr.strip()[-500:]}")
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        note(f"salt, {what}: {found}")
        return found


@contextmanager
def salt(minions: int) -> Iterator[Salt | None]:
    """A master that `minions` have joined; None where it cannot be installed."""
    programs = environment(REQUIREMENT)
    if programs is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="qd-salt-", dir="/tmp") as text:
        folder = Path(text)
        publish, answers = free_port(), free_port()
        master = _write(
            folder / "master",
            {"interface": "127.0.0.1", "publish_port": publish, "ret_port": answers, "auto_accept": True},
            name="master",
        )
        for number in range(minions):
            settings = {"master": "127.0.0.1", "master_port": answers, "publish_port": publish, "id": f"m{number}"}
            _write(folder / f"m{number}", settings, name="minion")
        processes = [_start(programs / "salt-master", master)]
        try:
            processes += [_start(programs / "salt-minion", folder / f"m{number}") for number in range(minions)]
            peer = Salt(programs, master / "master")
            wait_until(lambda: _answering(peer) == minions, "Salt's minions", seconds=UP_S, pause_s=1)
            yield peer
        finally:
            for process in processes:
                os.killpg(process.pid, signal.SIGKILL)  # its workers are of its group
                process.wait()


def _answering(peer: Salt) -> float:
    try:
        return peer.ask("here")["minions"]
    except RuntimeError:  # the master is not there yet
        return 0


def _write(folder: Path, settings: dict[str, object], *, name: str) -> Path:
    folder.mkdir()
    common: dict[str, object] = {"root_dir": str(folder), "log_level": "error", "user": "root", "pki_dir": "pki"}
    (folder / name).write_text(json.dumps(settings | common))  # which is YAML
    return folder


def _start(program: Path, config: Path) -> subprocess.Popen[bytes]:
    with (config / "output").open("wb") as output:
        return subprocess.Popen([program, "-c", config], stdout=output, stderr=output, start_new_session=True)
