"""The command `get_config`: the configuration with which the agent runs."""

from __future__ import annotations

from quarterdeck.agent.commands.command import Command, NoArguments, Outcome, answer, arguments
from quarterdeck.model.config import AgentConfig
from quarterdeck.model.jobs import JobOffer
from quarterdeck.model.redaction import without_secrets


def configuration_commands(config: AgentConfig) -> dict[str, Command]:
    """Return the command, which answers with `config` without its secrets."""

    async def get(job: JobOffer) -> Outcome:
        arguments(job, NoArguments)
        return answer(without_secrets(config))

    return {"get_config": Command(run=get)}
