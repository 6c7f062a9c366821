"""`get_config`: the configuration in effect, without its secrets."""

from __future__ import annotations

import msgspec
import pytest

from quarterdeck.agent.commands.configuration import configuration_commands
from quarterdeck.model.config import AgentConfig, JobsConfig
from quarterdeck.model.errors import BadInput
from quarterdeck.model.extensions import ExtensionConfig
from quarterdeck.model.jobs import JobOffer, JobState

BACKUP = ExtensionConfig(binary="/opt/backup", env={"PASSWORD": "secret"})
CONFIG = AgentConfig(name="web-1", token="qdj-secret", jobs=JobsConfig(max_jobs=3), extensions={"backup": BACKUP})


async def test_it_answers_with_every_key_and_no_secret() -> None:
    outcome = await configuration_commands(CONFIG)["get_config"].run(JobOffer(id="j", cmd="get_config"))
    assert outcome.state is JobState.OK
    assert "secret" not in outcome.data
    answered = msgspec.json.decode(outcome.data, type=AgentConfig)
    assert (answered.name, answered.jobs.max_jobs, answered.token) == ("web-1", 3, "(set)")
    assert answered.extensions["backup"].env == {"PASSWORD": "(set)"}


async def test_it_takes_no_arguments() -> None:
    offer = JobOffer(id="j", cmd="get_config", args={"key": "token"})
    with pytest.raises(BadInput, match="key"):
        await configuration_commands(CONFIG)["get_config"].run(offer)
