"""The agent's own process. `qd agent` turns into it when it has read its configuration: `become`, then `main`.

The command line's libraries take 20 MB, which an agent would hold for as long as it lives. This module owns the
transfer of the configuration between the two: as JSON in a file in memory, since it may hold a join token.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import msgspec

from quarterdeck.cli.processes import not_installed, run_until_ended, start_logging
from quarterdeck.model.config import AgentConfig
from quarterdeck.model.errors import QuarterdeckError

#: gRPC's newer event engine hands every message through four threads, each of which must wake up: a fifth of what an
#: idle agent costs. Without it one thread polls. A release that does not know these names ignores them.
_ONE_POLLER = "-event_engine_client,-event_engine_listener"


def become(config: AgentConfig) -> NoReturn:
    """Replace this process by the agent's."""
    fd = os.memfd_create("quarterdeck-agent-config", 0)
    os.write(fd, msgspec.json.encode(config))
    os.lseek(fd, 0, os.SEEK_SET)
    os.execv(sys.executable, [sys.executable, "-m", "quarterdeck.cli.agent", str(fd)])  # noqa: S606


def main(fd: int) -> None:
    """Run the agent whose configuration lies in `fd`. The exit code is 0, or that of the error."""
    with os.fdopen(fd, "rb") as file:
        config = msgspec.json.decode(file.read(), type=AgentConfig)
    os.environ.setdefault("GRPC_EXPERIMENTS", _ONE_POLLER)
    try:
        start_logging("agent")
        run_until_ended(_work(config))
    except QuarterdeckError as error:
        from quarterdeck.cli import output  # noqa: PLC0415  (only now)

        output.print_error(error)
        sys.exit(error.exit_code)


async def _work(config: AgentConfig) -> None:
    try:
        from quarterdeck.agent.agent import Agent  # noqa: PLC0415  (the agent's libraries are an extra)
        from quarterdeck.agent.modules.instances import Instances  # noqa: PLC0415
        from quarterdeck.bpf.features import refusal, survey  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise not_installed(error, "agent", extra="agent") from error
    await Agent(config, instances=Instances, ebpf_reason=refusal(survey())).run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
