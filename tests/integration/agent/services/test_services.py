"""Services on a node with a real keeper: in their order, checked, replaced, adopted, and removed completely."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from quarterdeck.agent.services.services import Services
from quarterdeck.model.errors import Conflict, NotFound
from quarterdeck.model.services import DesiredService, HealthCheck, Service, ServiceState, ServiceStatus
from tests.fleet import free_port
from tests.keeping import runs
from tests.node_life import Life, life
from tests.support import require

DEADLINE_S = 30.0
T = TypeVar("T")
SLEEP = ("/bin/sleep", "1000")
S = ServiceState


class Node:
    """One run of a node's services."""

    def __init__(self, living: Life, *, allow: tuple[str, ...] = ("*",)) -> None:
        self.living = living
        self.revision = 0
        self.seen: list[tuple[str, ServiceState]] = []
        self.found: set[str] = set()  #: what checks that failed said
        self.services = Services(
            living.home, processes=living.processes, templates=living.templates, allow=allow, changed=self._changed
        )

    def _changed(self) -> None:
        for status in self.services.statuses():
            self.found.add(status.health)
            if not self.seen or (status.name, status.state) not in self.seen[-1:]:
                self.seen.append((status.name, status.state))

    async def apply(self, *services: Service) -> None:
        self.revision += 1
        await self.services.apply([*map(DesiredService.of, services)], revision=self.revision)

    def status(self, name: str) -> ServiceStatus | None:
        return next((status for status in self.services.statuses() if status.name == name), None)

    async def until(self, look: Callable[[], T | None], what: str) -> T:
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not (found := look()):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                return found
        except TimeoutError:
            raise AssertionError(f"waited for {what}; there is {self.services.statuses()}, {self.seen}") from None

    async def state(self, name: str, *wanted: ServiceState) -> ServiceStatus:
        def look() -> ServiceStatus | None:
            status = self.status(name)
            return status if status is not None and status.state in wanted else None

        return await self.until(look, f"{name} to be {wanted}")

    async def where(self, name: str, look: Callable[[ServiceStatus], bool], what: str) -> ServiceStatus:
        """Return the status of a service once it has this state."""

        def found() -> ServiceStatus | None:
            status = self.status(name)
            return status if status is not None and look(status) else None

        return await self.until(found, what)

    async def running(self, name: str) -> int:
        status = await self.state(name, S.RUNNING)
        assert status.pid is not None
        return status.pid

    async def gone(self, name: str) -> None:
        await self.until(lambda: self.status(name) is None, f"{name} to be gone")


@asynccontextmanager
async def node(home: Path, *, allow: tuple[str, ...] = ("*",), killed: bool = False) -> AsyncGenerator[Node]:
    async with life(home, with_jobs=False) as living:
        one = Node(living, allow=allow)
        try:
            yield one
        finally:
            living.killed = killed
            if killed:  # it tells nobody anything any more
                vars(vars(living.processes)["_launcher"])["end"] = _nothing
            await one.services.close()


def _nothing(_: object) -> None: ...


def shell(name: str, script: str, **more: object) -> Service:
    return Service(name=name, command=("/bin/sh", "-c", script), **more)  # pyright: ignore[reportArgumentType]


async def test_a_service_runs_is_started_again_when_it_is_killed_and_leaves_nothing(home: Path) -> None:
    async with node(home) as here:
        await here.apply(shell("web", "sleep 1000 & wait"))
        first = await here.running("web")
        os.kill(first, signal.SIGKILL)
        await here.where("web", lambda s: s.pid not in (None, first), "another process")
        status = await here.state("web", S.RUNNING)
        assert status.restarts == 1
        assert status.code == -signal.SIGKILL
        await here.apply()
        await here.gone("web")
        assert status.pid is not None
        assert not runs(status.pid)
        assert here.living.processes.kept() == ()


async def test_one_waits_for_those_it_comes_after_and_goes_before_them(home: Path) -> None:
    flag = home / "ready"
    check = HealthCheck(command=("/usr/bin/test", "-e", str(flag)), interval=0.1, timeout=5, start_period=60)
    async with node(home) as here:
        await here.apply(
            Service(name="web", command=SLEEP, after=("db", "schema", "elsewhere")),
            Service(name="db", command=SLEEP, health=check),
            shell("schema", f"test -e {flag} && exit 0; exit 1", max_time=0, after=("db",)),
        )
        waiting = await here.where(
            "web", lambda s: s.state is S.WAITING and "'db', which is STARTING" in s.reason, "web to wait"
        )
        assert waiting.pid is None
        flag.touch()
        await here.running("web")
        done = here.status("schema")
        assert done is not None
        assert (done.state, done.code) == (S.STOPPED, 0)
        order = [name for name, state in here.seen if state is S.RUNNING]
        assert order.index("db") < order.index("web")
        here.seen.clear()
        await here.apply()
        await here.gone("db")
        assert here.status("web") is None
        assert [name for name, _ in here.seen if name == "web"]


async def test_the_next_life_takes_up_what_runs_and_replaces_what_is_another(home: Path) -> None:
    same, other = Service(name="same", command=SLEEP), Service(name="other", command=SLEEP)
    once = shell("once", "echo x >> $QD_TEST_FILE", max_time=0, env={"QD_TEST_FILE": str(home / "once")})
    lost = Service(name="lost", command=SLEEP)
    async with node(home, killed=True) as here:
        await here.apply(same, other, once, lost)
        pids = {name: await here.running(name) for name in ("same", "other", "lost")}
        await here.state("once", S.STOPPED)
    assert all(map(runs, pids.values()))
    async with node(home) as here:
        await here.apply(same, Service(name="other", command=(*SLEEP, "2")), once)
        assert await here.running("same") == pids["same"]
        status = await here.state("other", S.RUNNING)
        assert status.pid != pids["other"]
        assert (await here.state("once", S.STOPPED)).reason == "It ran to its end."
        await here.until(lambda: not runs(pids["other"]) and not runs(pids["lost"]), "the old ones to be gone")
        assert (home / "once").read_text() == "x\n"
        assert runs(pids["same"])


async def test_a_change_of_the_check_or_of_the_order_leaves_the_process_alone(home: Path) -> None:
    async with node(home) as here:
        await here.apply(Service(name="db", command=SLEEP), Service(name="web", command=SLEEP))
        pid = await here.running("web")
        changed = Service(
            name="web", command=SLEEP, after=("db",), health=HealthCheck(command=("/bin/true",), interval=0.1)
        )
        await here.apply(Service(name="db", command=SLEEP), changed)
        await here.where(
            "web",
            lambda s: s.version == changed.version and s.state is S.RUNNING,
            "the new version",
        )
        assert await here.running("web") == pid
        await here.apply(Service(name="db", command=SLEEP), Service(name="web", command=SLEEP, env={"A": "1"}))
        await here.where("web", lambda s: s.pid not in (None, pid), "another process")
        assert not runs(pid)


async def test_one_that_is_not_well_is_started_again_until_it_failed_too_often(home: Path) -> None:
    flag = home / "well"
    flag.touch()
    check = HealthCheck(
        command=("/bin/sh", "-c", f"echo no flag; test -e {flag}"), interval=0.05, failures=2, start_period=0
    )
    async with node(home) as here:
        await here.apply(Service(name="web", command=SLEEP, health=check, max_restart=1, grace=1))
        pid = await here.running("web")
        flag.unlink()
        failed = await here.state("web", S.FAILED)
        assert here.seen.count(("web", S.UNHEALTHY)) == 2
        assert any("no flag" in found for found in here.found)
        assert failed.pid is None
        assert not runs(pid)
        assert "not started again" in failed.reason
        assert "it was not well: /bin/sh: exit code 1: no flag" in failed.reason
        (critical,) = await here.living.log("service/web", levels="9")
        assert "It is not started again" in critical.data
        assert "no flag" in critical.data
        said = [message.data for message in await here.living.log("service/web", levels="7,8")]
        fails, ended = "Its health check fails: /bin/sh: exit code 1: no flag", "It ended: it was not well: /bin/sh"
        assert said[:2] == [fails, "It is not well, and is ended: /bin/sh: exit code 1: no flag"]
        assert said[2].startswith(ended)
        flag.touch()
        assert (await here.services.restart("web")).state is S.RUNNING
        assert await here.running("web") != pid


async def test_why_a_run_ended_is_said_while_the_next_one_runs(home: Path) -> None:
    async with node(home) as here:
        await here.apply(shell("web", f"test -e {home}/second && exec sleep 1000; touch {home}/second; kill -SEGV $$"))
        again = await here.where("web", lambda s: s.state is S.RUNNING and s.restarts == 1, "it to run again")
        assert (again.reason, again.ended) == ("", "signal 11 (SEGV)")
        (said,) = await here.living.log("service/web", levels="7-9")
        assert (said.level, said.data[:28]) == (8, "It ended: signal 11 (SEGV). ")
        assert ("messages", 1) in here.living.emitted


async def test_one_that_takes_too_much_memory_says_so_with_its_limit(home: Path) -> None:
    hog = 'x = bytearray(1 << 30); x[::4096] = b"1" * len(x[::4096]); print("fits")'
    async with node(home) as here:
        require("memory" in here.living.cgroups.controllers, "no memory controller")
        await here.apply(Service(name="hog", command=(sys.executable, "-c", hog), memory="30M", max_restart=0))
        failed = await here.state("hog", S.FAILED)
        assert "signal 9 (KILL): it used more than its limit of 30.0 MiB of memory" in failed.reason
        (critical,) = await here.living.log("service/hog", levels="9")
        assert "its limit of 30.0 MiB" in critical.data


async def test_a_new_run_is_checked_when_it_begins_however_seldom_checks_are(home: Path) -> None:
    check = HealthCheck(command=("/bin/true",), interval=1000)
    async with node(home) as here:
        await here.apply(Service(name="web", command=SLEEP, health=check))
        pid = await here.running("web")
        os.kill(pid, signal.SIGKILL)
        again = await here.where("web", lambda s: s.state is S.RUNNING and s.pid != pid, "it to run again")
        assert again.restarts == 1


async def test_a_port_and_a_url_tell_whether_it_is_well(home: Path) -> None:
    port, other = free_port(), free_port()
    server = (sys.executable, "-m", "http.server", "--bind", "127.0.0.1")
    url = f"http://127.0.0.1:{port}/"
    async with node(home) as here:
        await here.apply(
            Service(name="web", command=(*server, str(port)), health=HealthCheck(http=url, interval=0.1)),
            Service(
                name="tcp", command=(*server, str(other)), health=HealthCheck(tcp=f"127.0.0.1:{other}", interval=0.1)
            ),
        )
        await here.running("web")
        await here.running("tcp")
        bad = HealthCheck(http=url + "none", interval=0.1, failures=1, start_period=0)
        await here.apply(Service(name="web", command=(*server, str(port)), health=bad))
        sick = await here.where("web", lambda s: bool(s.health), "the check to fail")
        assert "answered 404, not 200" in sick.health


async def test_a_program_that_cannot_be_started_says_why_and_is_tried_again(home: Path) -> None:
    async with node(home) as here:
        await here.apply(Service(name="web", command=("/no/such/program",)))
        status = await here.state("web", S.BACKOFF)
        assert "no program" in status.reason, status
        await here.apply()
        await here.gone("web")


async def test_what_a_shell_means_is_left_to_it_and_folders_have_a_form_of_their_own(home: Path) -> None:
    script = 'root=/y; echo "$root" "$SEEN" "$1" $PWD; exec sleep 1000'
    check = 'tmp=/z; echo "$tmp" "$SEEN" {agent.tmp} > {agent.root}/checked'
    async with node(home) as here:
        await here.apply(
            Service(
                name="web",
                command=("$root/bin/sh", "-c", script, "sh", "{agent.tmp}/x"),
                env={"SEEN": "$tmp {agent.root}"},
                workingdir="$tmp",
                health=HealthCheck(command=("sh", "-c", check)),
            )
        )
        await here.running("web")
        await here.living.printed("service/web", f"/y $tmp {home} {home}/tmp/x {home}/tmp")
        assert (home / "checked").read_text() == f"/z $tmp {home} {home}/tmp\n"


async def test_services_run_only_where_the_node_allows_them(home: Path) -> None:
    async with node(home, allow=("get_*",)) as here:
        await here.apply(Service(name="web", command=SLEEP))
        status = await here.state("web", S.FAILED)
        assert "agent.jobs.allow" in status.reason
        with pytest.raises(Conflict, match=r"agent\.jobs\.allow"):
            await here.services.restart("web")
        assert here.living.processes.kept() == ()


async def test_settings_that_this_release_does_not_know_are_that_services_failure(home: Path) -> None:
    async with node(home) as here:
        new = DesiredService(name="new", version="1", settings={"command": ["/bin/true"], "colour": "red"})
        good = DesiredService.of(Service(name="good", command=SLEEP))
        await here.services.apply((new, good), revision=1)
        assert "colour" in (await here.state("new", S.FAILED)).reason
        await here.running("good")


async def test_a_restart_is_a_new_process_and_of_none_an_error(home: Path) -> None:
    async with node(home) as here:
        await here.apply(Service(name="web", command=SLEEP))
        pid = await here.running("web")
        status = await here.services.restart("web")
        assert status.state is S.RUNNING
        assert status.pid != pid
        assert not runs(pid)
        with pytest.raises(NotFound):
            await here.services.restart("wob")


async def test_what_was_taken_away_and_given_back_runs_once(home: Path) -> None:
    async with node(home) as here:
        for _ in range(20):
            await here.apply(Service(name="web", command=SLEEP))
            await asyncio.sleep(0.003)
            await here.apply()
            await asyncio.sleep(0.003)
        await here.apply(Service(name="web", command=SLEEP))
        await here.running("web")
        assert len(here.living.processes.kept()) == 1


def hanging(home: Path) -> Service:
    """A service whose check says where it is, and does not end by itself."""
    script = f"echo $$ > {home}/check.new; mv {home}/check.new {home}/check; exec sleep 1000"
    check = HealthCheck(command=("/bin/sh", "-c", script), timeout=1000, interval=0.1)
    return Service(name="web", command=SLEEP, health=check)


async def test_a_check_that_hangs_ends_with_its_service(home: Path) -> None:
    async with node(home) as here:
        await here.apply(hanging(home))
        await here.until((home / "check").exists, "the check to run")
        check = int((home / "check").read_text())
        assert runs(check)
        await here.apply()
        await here.gone("web")
        await here.until(lambda: not runs(check) and not here.living.processes.kept(), "the check to be gone")


async def test_a_check_of_an_agent_that_was_killed_is_ended_by_the_next(home: Path) -> None:
    service = hanging(home)
    async with node(home, killed=True) as here:
        await here.apply(service)
        await here.until((home / "check").exists, "the check to run")
        check = int((home / "check").read_text())
        (home / "check").unlink()
    assert runs(check)
    async with node(home) as here:
        await here.apply(service)
        await here.until(lambda: not runs(check), "the old check to be gone")


async def test_services_that_wait_for_one_another_wait_and_can_be_taken_away(home: Path) -> None:
    """The server never sends such a set."""
    async with node(home) as here:
        await here.apply(Service(name="a", command=SLEEP, after=("b",)), Service(name="b", command=SLEEP, after=("a",)))
        assert "'b', which is WAITING" in (await here.where("a", lambda s: bool(s.reason), "a to say why")).reason
        await here.apply()
        await here.gone("a")
        await here.gone("b")
