"""A node whose network allows only HTTPS joins, runs a module, and survives a kill of its server."""

from __future__ import annotations

import os
import subprocess
import uuid
from pathlib import Path

from quarterdeck.client.transfers import measure
from quarterdeck.model.jobs import CreateCommand, JobState
from quarterdeck.model.nodes import AgentState
from tests.fleet import Fleet, free_port


def test_a_node_joins_and_works_over_https_and_survives_a_kill_of_the_server(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    with Fleet(tmp_path, server_environment={"QD_SERVER_LINK__HTTPS": address}) as fleet:
        agent = fleet.join("one", server=f"https://{address}/fleet")
        pid = agent.pid
        fleet.client.modules.deploy("execs")
        fleet.wait_running("execs", "one")
        fleet.server.kill()
        mark = uuid.uuid4().hex
        subprocess.run(["/bin/true", mark], check=True)
        fleet.start_server()
        fleet.wait_for("one", AgentState.ONLINE)
        fleet.wait_running("execs", "one")
        assert agent.running
        assert agent.pid == pid
        _exchange_files(fleet, tmp_path)
        assert fleet.wait_rows(f"SELECT 1 FROM execs WHERE args LIKE '%{mark}%'"), "what happened meanwhile is not lost"


def _exchange_files(fleet: Fleet, folder: Path) -> None:
    """A file of several chunks goes to the node and comes back."""
    content, there = folder / "content", folder / "there"
    content.write_bytes(os.urandom(5_000_000))
    sha256 = fleet.client.files.upload(content).sha256
    for cmd, arguments in (("put_file", {"path": str(there), "sha256": sha256}), ("get_file", {"path": str(there)})):
        command = fleet.client.commands.create(CreateCommand(cmd=cmd, args=arguments))
        assert [job.state for job in fleet.client.commands.follow(command.id)][-1] is JobState.OK
        fleet.client.files.remove(sha256) if cmd == "put_file" else fleet.client.files.download(sha256, folder / "back")
    assert measure(there) == measure(folder / "back") == measure(content)
