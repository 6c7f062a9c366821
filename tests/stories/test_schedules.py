"""Schedules in a whole fleet: a command is issued repeatedly, at most once for each due time, whatever is killed."""

from __future__ import annotations

from quarterdeck.model.jobs import CommandWithJobs, CreateCommand, JobState, is_final
from quarterdeck.model.nodes import Selector
from quarterdeck.model.schedules import CreateSchedule
from tests.fleet import Fleet, eventually

NAME = "often"


def asked(fleet: Fleet) -> list[str]:
    """Return the ids of the commands that the schedule issued, the oldest first."""
    return [each.id for each in reversed(fleet.client.commands.list()) if each.id.startswith(f"{NAME}@")]


def more_than(fleet: Fleet, before: int, *, runs: int = 2) -> list[str]:
    """Return the issued commands, once there are `runs` more than before."""

    def look() -> list[str] | None:
        found = asked(fleet)
        return found if len(found) >= before + runs else None

    return eventually(look, f"{runs} more runs of the schedule")


def ended(fleet: Fleet, command_id: str) -> CommandWithJobs:
    def look() -> CommandWithJobs | None:
        command = fleet.client.commands.get(command_id)
        return command if all(is_final(job.state) for job in command.jobs) else None

    return eventually(look, f"the end of {command_id}")


def test_each_due_time_is_run_at_most_once_over_kills_of_the_server(fleet: Fleet) -> None:
    fleet.join("one")
    command = CreateCommand(cmd="ping", selector=Selector(nodes=("one",)))
    made = fleet.client.schedules.create(CreateSchedule(name=NAME, command=command, period_s=1))
    found = more_than(fleet, 0)
    for _ in range(2):
        fleet.server.kill()
        fleet.start_server()
        before, found = found, more_than(fleet, len(found))
        assert found[: len(before)] == before, "what was asked for is neither lost nor asked for again"
    assert fleet.client.schedules.disable(NAME).next_time is None
    found = asked(fleet)
    assert len(found) == len(set(found))
    assert found == sorted(found), "the due times go on"
    for id_ in found:
        command_ = ended(fleet, id_)
        assert [(job.node_name, job.state) for job in command_.jobs] == [("one", JobState.OK)]
        assert command_.actor == made.actor
