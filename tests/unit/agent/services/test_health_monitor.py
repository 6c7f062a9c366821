"""The health monitor: failures in a row end a process, and each run is checked anew."""

from __future__ import annotations

import asyncio
from typing import cast

from quarterdeck.agent.keeper.messages import ChildStatus, Exited
from quarterdeck.agent.processes.supervised_process import Process, SupervisedProcess
from quarterdeck.agent.services.health_monitor import HealthMonitor
from quarterdeck.model.messages import Level
from quarterdeck.model.processes import UsualSettings
from quarterdeck.model.services import HealthCheck, Service
from tests.support import until


class FakeLauncher:
    """Starts at once; the test ends."""

    usual = UsualSettings()

    def __init__(self) -> None:
        self.ended = 0
        self.notes: list[tuple[Level, str]] = []

    def launch(self, process: SupervisedProcess) -> None:
        process.running(ChildStatus(id=process.id, pid=7, began=float(process.runs + 1)), process.run)

    def end(self, process: SupervisedProcess) -> None:
        self.ended += 1

    def note(self, process: SupervisedProcess, level: Level, text: str) -> None:
        self.notes.append((level, text))


class FakeChecks:
    """Finds what the test says."""

    def __init__(self) -> None:
        self.found = ""
        self.count = 0

    async def look(self, service: Service, check: HealthCheck) -> str:
        self.count += 1
        return self.found


CHECK = HealthCheck(tcp="127.0.0.1:1", interval=0.1, timeout=0.1, failures=2, start_period=0)
WEB = Service(name="web", command=("web",), health=CHECK)


async def test_a_process_that_fails_its_checks_is_ended_and_its_next_run_is_checked_anew() -> None:
    checks, launcher = FakeChecks(), FakeLauncher()
    monitor = HealthMonitor("web", checks, changed=lambda: None)
    process = SupervisedProcess(Process(id="service/web", argv=("web",), settings=WEB), launcher=launcher)
    process.begin()
    monitor.watch(WEB, process)
    await until(lambda: monitor.health.well)
    checks.found = "it refuses connections"
    await until(lambda: launcher.ended)
    assert (monitor.health.well, monitor.health.found) == (False, "it refuses connections")
    assert [level for level, _ in launcher.notes] == [Level.WARNING, Level.OPS_ERROR]
    checks.found = ""
    process.exited(Exited(id="service/web", seq=1, code=-15, ended=0.0))
    await until(lambda: process.runs == 2)
    monitor.watch(WEB, process)
    await until(lambda: monitor.health.well and monitor.health.run == process.began)
    process.stop()
    await monitor.close()


async def test_nothing_is_checked_of_a_service_without_a_process() -> None:
    checks = FakeChecks()
    monitor = HealthMonitor("web", checks, changed=lambda: None)
    monitor.watch(WEB, None)
    monitor.watch(None, cast("SupervisedProcess", None))
    await asyncio.sleep(0)
    assert checks.count == 0
    await monitor.close()
