"""Every state of an instance on its node, through restarts of the agent, to every next desired set."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from quarterdeck.agent.modules.loading import Unsupported
from quarterdeck.model.modules import INSTANCE_TRANSITIONS, InstanceState
from tests.unit.agent.modules.test_instances import Fake, Watch, watch

__all__ = ["watch"]

SITUATIONS = ("just wanted", "being started", "running", "failed for now", "failed for good", "broken down")
WORDS = ("the same again", "other settings", "not wanted", "the agent restarts", "the agent restarts without it")


async def reach(watch: Watch, situation: str) -> None:
    """Bring the instance `a` there."""
    if situation == "being started":
        Fake.gate.clear()
    if situation == "failed for now":
        Fake.fail = lambda _: OSError("the disk is full")
    if situation == "failed for good":
        Fake.fail = lambda _: Unsupported("This kernel has no such hook.")
    await watch.want("a", revision=1)
    if situation == "being started":
        await watch.until(lambda: watch.state("a") is InstanceState.IN_PROGRESS)
    elif situation in ("running", "broken down"):
        await watch.until(lambda: watch.state("a") is InstanceState.SUCCEEDED)
    elif situation.startswith("failed"):
        await watch.until(lambda: watch.state("a") is InstanceState.FAILED)
    if situation == "broken down":
        Fake.started[-1].failed(RuntimeError("its reader has ended"))


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("situation", SITUATIONS)
async def test_an_instance_goes_on_from_every_situation(watch: Watch, situation: str, word: str) -> None:
    await reach(watch, situation)
    Fake.fail = lambda _: None
    if word.startswith("the agent restarts"):
        closing = asyncio.create_task(watch.instances.close())
        await asyncio.sleep(0)
        Fake.gate.set()
        await closing
        assert all(each.stopped for each in Fake.started), "nothing of it is left in the kernel"
        assert all(itertools.starmap(INSTANCE_TRANSITIONS.allows, itertools.pairwise(watch.states)))
        watch.states.clear()
    names = () if word in ("not wanted", "the agent restarts without it") else ("a",)
    settings = {"targ_pid": 7} if word == "other settings" else {}
    wanting = asyncio.create_task(watch.want(*names, settings=settings, revision=2))
    await asyncio.sleep(0)
    Fake.gate.set()
    await wanting
    if names:
        await watch.until(lambda: watch.state("a") is InstanceState.SUCCEEDED)
        (status,) = watch.instances.statuses()
        assert (status.revision, status.reason) == (2, "")
        (running,) = [each for each in Fake.started if not each.stopped]
        assert running.desired.settings == settings
    else:
        assert watch.instances.statuses() == ()
        assert all(each.stopped for each in Fake.started)
    if word != "other settings":  # which is another instance, and starts again
        assert all(itertools.starmap(INSTANCE_TRANSITIONS.allows, itertools.pairwise(watch.states)))
