"""Services in a whole fleet: declared in a file, ordered, checked, restarted after any kill, moved, removed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quarterdeck.model.jobs import CreateCommand, JobState, is_final
from quarterdeck.model.nodes import AgentState, Selector
from quarterdeck.model.services import ServiceOnNode, ServiceState
from tests.fleet import Fleet, eventually, free_port
from tests.keeping import runs

#: answers every request with the word it was told, and says once a second that it lives
ANSWERING = """
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/healthy" else 404)
        self.end_headers()
        self.wfile.write(os.environ["WORD"].encode())
    def log_message(self, *_): pass
print("3::answering", os.environ["WORD"], flush=True)
HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""


@pytest.fixture(scope="module", autouse=True)
def nodes(fleet: Fleet) -> Iterator[None]:
    fleet.join("one", labels={"role": "web"})
    fleet.join("two")
    yield
    for info in sorted(fleet.client.services.list(), key=lambda info: len(info.service.after), reverse=True):
        fleet.client.services.remove(info.service.name)
    for name in list(fleet.agents):
        if not fleet.agents[name].running:
            fleet.agents[name].start()
    eventually(lambda: not _processes(str(fleet.folder)), "no process of a service to be left")


def qd(fleet: Fleet, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "QD_HOME": str(fleet.server.home), "QD_HTTP": fleet.http}
    return subprocess.run(
        [sys.executable, "-m", "quarterdeck.cli.main", "service", *arguments],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def on(fleet: Fleet, service: str, node: str) -> ServiceOnNode | None:
    return next((one for one in fleet.client.services.get(service).nodes if one.node_name == node), None)


def running(fleet: Fleet, service: str, node: str, *, but: Callable[[ServiceOnNode], bool] | None = None) -> int:
    """Return the process id of a service once it is RUNNING."""

    def look() -> int | None:
        found = on(fleet, service, node)
        if found is None or found.status.state is not ServiceState.RUNNING or (but and but(found)):
            return None
        return found.status.pid

    try:
        return eventually(look, f"{service} to run on {node}")
    except AssertionError as error:
        raise AssertionError(f"{error}; it is {on(fleet, service, node)}\n{fleet.agents[node].tail()}") from None


def answer(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthy", timeout=5) as response:
        return str(response.read().decode())


def answers(port: int) -> bool:
    try:
        return bool(answer(port))
    except OSError:
        return False


def _processes(mark: str) -> list[int]:
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if mark in line and "answering.py" in line:
                found.append(int(entry.name))
    return found


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


def write(fleet: Fleet, port: int, *, word: str = "ahoy", on: str = 'role = "web"') -> Path:
    script = fleet.folder / "answering.py"
    script.write_text(ANSWERING)
    file = fleet.folder / "shop.toml"
    file.write_text(f"""
group = "shop"

[service.db]
command = ["{sys.executable}", "{script}", "0"]
env = {{ WORD = "stored" }}
selector = {{ labels = {{ {on} }} }}

[service.web]
command = ["{sys.executable}", "{script}", "{port}"]
env = {{ WORD = "{word}" }}
after = ["db"]
selector = {{ labels = {{ {on} }} }}

[service.web.health]
http = "http://127.0.0.1:{port}/healthy"
interval = 0.5
""")
    return file


@pytest.fixture
def shop(fleet: Fleet, port: int) -> int:
    """Have `db` and `web` run on `one`, whatever the previous test left; return the process of `web`."""
    fleet.client.nodes.label("two", {"deck": None})
    applied = qd(fleet, "apply", str(write(fleet, port)))
    assert applied.returncode == 0, applied
    eventually(lambda: on(fleet, "web", "two") is None, "it to be gone from two")
    running(fleet, "db", "one")
    running(fleet, "web", "one")
    eventually(lambda: answers(port) and answer(port) == "ahoy", "the service to be as its file says")
    return running(fleet, "web", "one")


def test_a_file_is_applied_in_its_order_and_the_same_again_changes_nothing(fleet: Fleet, port: int) -> None:
    for name in ("web", "db"):
        if any(info.service.name == name for info in fleet.client.services.list()):
            fleet.client.services.remove(name)
    eventually(lambda: not _processes(str(fleet.folder)), "no process to be left of another test")
    file = write(fleet, port)
    dry = qd(fleet, "apply", str(file), "--dry-run")
    assert "+ db: added on 1 node" in dry.stdout, dry
    assert fleet.client.services.list() == []
    first = qd(fleet, "apply", str(file))
    assert first.returncode == 0, first
    assert "+ web: added on 1 node" in first.stdout
    pid = running(fleet, "web", "one")
    web, db = on(fleet, "web", "one"), on(fleet, "db", "one")
    assert web is not None
    assert db is not None
    assert db.status.since < web.status.since
    assert answer(port) == "ahoy"
    again = qd(fleet, "apply", str(file))
    assert "= web: unchanged" in again.stdout
    assert running(fleet, "web", "one") == pid
    assert "1 RUNNING" in qd(fleet, "ls").stdout


def test_a_killed_service_is_started_again(fleet: Fleet, port: int, shop: int) -> None:
    before = on(fleet, "web", "one")
    assert before is not None
    os.kill(shop, signal.SIGKILL)
    again = running(fleet, "web", "one", but=lambda found: found.status.pid == shop)
    found = on(fleet, "web", "one")
    assert found is not None
    assert (found.status.restarts, found.status.code) == (before.status.restarts + 1, -signal.SIGKILL)
    assert again != shop
    assert answer(port) == "ahoy"


def test_a_killed_agent_leaves_it_running_and_its_next_life_takes_it_up(fleet: Fleet, port: int, shop: int) -> None:
    fleet.agents["one"].kill()
    fleet.wait_for("one", AgentState.OFFLINE)
    shown = on(fleet, "web", "one")
    assert shown is not None
    assert "OFFLINE" in shown.status.reason
    assert answer(port) == "ahoy"
    fleet.agents["one"].start()
    fleet.wait_for("one", AgentState.ONLINE)
    assert running(fleet, "web", "one") == shop


def test_a_node_runs_what_it_was_told_last_while_the_server_is_away(fleet: Fleet, port: int, shop: int) -> None:
    fleet.server.kill()
    fleet.agents["one"].kill()
    os.kill(shop, signal.SIGKILL)
    eventually(lambda: not runs(shop), "it to be gone")
    fleet.agents["one"].start()
    eventually(lambda: answers(port), "the service to be back, without a server")
    fleet.start_server()
    fleet.wait_for("one", AgentState.ONLINE)
    running(fleet, "web", "one")
    assert answer(port) == "ahoy"


def test_a_restart_is_a_job_and_gives_another_process(fleet: Fleet, shop: int) -> None:
    made = fleet.client.services.restart("web")

    def over() -> JobState | None:
        (job,) = fleet.client.commands.get(made.id).jobs
        return job.state if is_final(job.state) else None

    assert eventually(over, "the restart to end") is JobState.OK
    assert running(fleet, "web", "one") != shop
    assert not runs(shop)
    wrong = qd(fleet, "restart", "wob")
    assert wrong.returncode == 4
    assert "Did you mean web?" in wrong.stderr


def test_a_changed_service_is_replaced_and_the_other_is_left_alone(fleet: Fleet, port: int, shop: int) -> None:
    db = running(fleet, "db", "one")
    applied = qd(fleet, "apply", str(write(fleet, port, word="aye")))
    assert "~ web: changed (env) on 1 node" in applied.stdout, applied
    assert running(fleet, "web", "one", but=lambda found: found.status.pid == shop) != shop
    assert answer(port) == "aye"
    assert running(fleet, "db", "one") == db
    assert not runs(shop)


@pytest.mark.usefixtures("shop")
def test_what_a_service_prints_is_filed_under_it(fleet: Fleet) -> None:
    def look() -> bool:
        return "answering ahoy" in qd(fleet, "logs", "web").stdout

    assert eventually(look, "its words to be there")


def test_a_label_moves_a_service_to_another_node(fleet: Fleet, port: int, shop: int) -> None:
    qd(fleet, "apply", str(write(fleet, port, word="moved", on='deck = "quarter"')))
    eventually(lambda: not runs(shop), "the old process to end")
    eventually(lambda: on(fleet, "web", "one") is None, "it to be gone from one")
    fleet.client.nodes.label("two", {"deck": "quarter"})
    running(fleet, "web", "two")
    assert answer(port) == "moved"
    fleet.client.nodes.label("two", {"deck": None})
    eventually(lambda: on(fleet, "web", "two") is None, "it to be gone from two")
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    fleet.client.nodes.label("two", {"deck": "quarter"})
    running(fleet, "web", "two")


def test_a_service_named_in_after_cannot_be_removed_and_a_removed_one_leaves_no_process(
    fleet: Fleet, shop: int
) -> None:
    db = running(fleet, "db", "one")
    refused = qd(fleet, "rm", "db")
    assert refused.returncode == 5
    assert "'web' comes after 'db'" in refused.stderr
    assert qd(fleet, "rm", "web").returncode == 0
    assert qd(fleet, "rm", "db").returncode == 0
    eventually(lambda: not runs(shop) and not runs(db), "both to end")
    eventually(lambda: not _processes(str(fleet.folder)), "no process to be left")
    assert fleet.client.services.list() == []


def test_a_node_that_is_removed_ends_its_services_and_jobs(fleet: Fleet, port: int) -> None:
    fleet.join("three", labels={"deck": "third"})
    qd(fleet, "apply", str(write(fleet, port, on='deck = "third"')))
    pid = running(fleet, "web", "three")
    own = fleet.folder / "pid"
    args = {"cmd": "/bin/sh", "args": ["-c", 'echo $$ > "$0"; exec sleep 600', str(own)], "max_time": -1}
    fleet.client.commands.create(CreateCommand(cmd="execute", args=args, selector=Selector(nodes=("three",))))
    job = int(eventually(lambda: own.exists() and own.read_text(), "the job's program to begin"))
    fleet.client.nodes.remove("three")
    eventually(lambda: not runs(pid), "the removed node's service to end")
    eventually(lambda: not runs(job), "the removed node's job to end")
