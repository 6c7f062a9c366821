"""Files to and from nodes in a whole fleet, when any process is killed in between, and when the node's disk is full."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from quarterdeck.client.transfers import measure
from quarterdeck.model.files import NodeFile
from quarterdeck.model.jobs import CommandWithJobs, CreateCommand, Job, JobState, is_final
from quarterdeck.model.nodes import Selector
from tests.disks import MB, SmallDisk
from tests.fleet import Fleet, eventually

SIZE = 50 * 1024 * 1024


@pytest.fixture(scope="module", autouse=True)
def nodes(fleet: Fleet) -> None:
    fleet.join("one", labels={"role": "web"})
    fleet.join("two", labels={"role": "web"})


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large.bin"
    path.write_bytes(os.urandom(SIZE))
    return path


def qd(fleet: Fleet, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "QD_HOME": str(fleet.server.home), "QD_HTTP": fleet.http}
    command = [sys.executable, "-m", "quarterdeck.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)


def ask(fleet: Fleet, cmd: str, *nodes: str, **arguments: object) -> CommandWithJobs:
    return fleet.client.commands.create(CreateCommand(cmd=cmd, args=arguments, selector=Selector(nodes=nodes)))


def over(fleet: Fleet, command: CommandWithJobs) -> list[Job]:
    def look() -> list[Job] | None:
        jobs = fleet.client.commands.get(command.id).jobs
        return list(jobs) if all(is_final(job.state) for job in jobs) else None

    return eventually(look, "every job to have its result")


def sent(job: Job) -> NodeFile:
    assert (job.state, job.reason) == (JobState.OK, "")
    assert job.result is not None
    return msgspec.json.decode(job.result.data, type=NodeFile)


def parts(folder: Path) -> list[Path]:
    """Return the partial files in a folder."""
    return [path for path in folder.rglob("*.part") if path.stat().st_size]


def test_a_file_is_pushed_to_two_nodes_and_pulled_back_from_both(fleet: Fleet, large: Path, tmp_path: Path) -> None:
    target = tmp_path / "there" / "app.bin"
    pushed = qd(fleet, "file", "push", large, target, "--on", "role=web", "--mkdir", "--mode", "0750")
    assert pushed.returncode == 0, pushed.stderr
    assert sorted(pushed.stdout.splitlines()) == [f"{name} OK {target} 0750 (50.0 MiB)" for name in ("one", "two")]
    assert "2 OK on 2 nodes" in pushed.stderr
    shown = [(each.to_node, each.at, each.size) for each in fleet.client.transfers.list()]
    assert shown == [(True, SIZE, SIZE)] * 2
    assert (measure(target), target.stat().st_mode & 0o7777) == (measure(large), 0o750)
    back = tmp_path / "back"
    pulled = qd(fleet, "file", "pull", target, back, "--all")
    assert pulled.returncode == 0, pulled.stderr
    for name in ("one", "two"):
        assert measure(back / name / "app.bin") == measure(large)
    single = qd(fleet, "file", "pull", target, tmp_path / "single", "--node", "two")
    assert single.returncode == 0, single.stderr
    assert measure(tmp_path / "single") == measure(large)
    assert sorted(path.name for path in target.parent.iterdir()) == ["app.bin"]


def test_the_server_lists_and_forgets_files(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("hello")
    assert qd(fleet, "file", "push", tmp_path / "note.txt", f"{tmp_path}/there-", "--node", "one").returncode == 0
    listed = qd(fleet, "file", "ls").stdout
    assert "note.txt" in listed
    short = hashlib.sha256(b"hello").hexdigest()[:12]
    assert qd(fleet, "file", "rm", short).stdout == f"{short} note.txt is removed.\n"
    assert "note.txt" not in qd(fleet, "file", "ls").stdout
    gone = qd(fleet, "file", "rm", short)
    assert (gone.returncode, "no file whose sha256 begins" in gone.stderr) == (4, True)


def test_what_cannot_be_done_says_why(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for arguments, words in (
        (("push", tmp_path, "/x", "--all"), "tar -cf"),
        (("push", tmp_path / "none", "/x", "--all"), "There is no file"),
        (("push", tmp_path / "file", "x", "--all"), "absolute path"),
        (("push", tmp_path / "file", tmp_path / "no" / "x", "--all"), "no folder"),
        (("pull", tmp_path, tmp_path / "y", "--all"), "is a folder"),
        (("pull", tmp_path / "none", tmp_path / "y", "--all"), "There is no file"),
        (("pull", tmp_path / "none", tmp_path / "y"), "No node is named"),
    ):
        said = qd(fleet, "file", *arguments)
        assert said.returncode != 0
        assert words in said.stdout + said.stderr, arguments
        assert "Traceback" not in said.stderr


@pytest.mark.parametrize("victim", ["agent", "server"])
def test_a_push_goes_on_after_a_kill(fleet: Fleet, tmp_path: Path, victim: str) -> None:
    content = tmp_path / "content"
    content.write_bytes(os.urandom(SIZE))
    sha256 = fleet.client.files.upload(content).sha256
    target = tmp_path / "node" / "app.bin"
    command = ask(fleet, "put_file", "one", path=str(target), sha256=sha256, make_dirs=True)
    eventually(lambda: target.parent.is_dir() and parts(target.parent), "the push to be on its way")
    _kill(fleet, victim)
    (job,) = over(fleet, command)
    assert sent(job).sha256 == sha256
    assert measure(target) == measure(content)
    assert [path.name for path in target.parent.iterdir()] == ["app.bin"]


@pytest.mark.parametrize("victim", ["agent", "server"])
def test_a_pull_goes_on_after_a_kill(fleet: Fleet, tmp_path: Path, victim: str) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(SIZE))
    command = ask(fleet, "get_file", "one", path=str(source))
    eventually(lambda: parts(fleet.server.home / "files"), "the pull to be on its way")
    _kill(fleet, victim)
    (job,) = over(fleet, command)
    fleet.client.files.download(sent(job).sha256, tmp_path / "copy")
    assert measure(tmp_path / "copy") == measure(source)
    assert parts(fleet.server.home / "files") == []


def _kill(fleet: Fleet, victim: str) -> None:
    if victim == "agent":
        fleet.agents["one"].kill()
        fleet.agents["one"].start()
    else:
        fleet.server.kill()
        fleet.start_server()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = SmallDisk(tmp_path / "disk", 4 * MB)
    yield disk.folder
    disk.unmount()


@pytest.mark.parametrize("known", [True, False], ids=["size known", "size unknown"])
def test_a_full_disk_is_an_error_in_words_and_leaves_nothing(
    fleet: Fleet, large: Path, small_disk: Path, known: bool
) -> None:
    status = fleet.client.files.upload(large)
    target = str(small_disk / "app.bin")
    size = SIZE if known else 0
    (job,) = over(fleet, ask(fleet, "put_file", "one", path=target, sha256=status.sha256, size=size))
    assert job.state is JobState.ERROR
    assert "no room" in job.reason
    assert list(small_disk.iterdir()) == []


def test_a_job_that_is_ended_leaves_nothing(fleet: Fleet, tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.write_bytes(os.urandom(SIZE))
    sha256 = fleet.client.files.upload(content).sha256
    target = tmp_path / "node" / "app.bin"
    command = ask(fleet, "put_file", "one", path=str(target), sha256=sha256, make_dirs=True)
    eventually(lambda: target.parent.is_dir() and parts(target.parent), "the push to be on its way")
    fleet.client.commands.kill(command.id)
    (job,) = over(fleet, command)
    assert job.state in {JobState.KILLED, JobState.OK}
    left = [path.name for path in target.parent.iterdir()]
    assert left == (["app.bin"] if job.state is JobState.OK else [])


def test_what_the_server_no_longer_has_is_an_error_in_words(fleet: Fleet, tmp_path: Path) -> None:
    (job,) = over(fleet, ask(fleet, "put_file", "one", path=str(tmp_path / "x"), sha256="0" * 64))
    assert (job.state, "qd file ls" in job.reason) == (JobState.ERROR, True)
