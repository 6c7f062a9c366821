"""`python -m bench [NAME|all|--list]`."""

from __future__ import annotations

import importlib
import signal
import subprocess
import sys

EXPERIMENTS = (
    "ring_to_columns",
    "transform",
    "map_to_columns",
    "kernel_to_table",
    "deploy_latency",
    "agent_idle",
    "agents",
    "messages",
    "job_round_trip",
    "job_throughput",
    "fan_out",
    "restart",
    "agent_running",
    "statsd",
    "graphql",
    "ui_load",
    "ui_lists",
    "ui_tail",
)
#: takes hours: run only when it is named
LONG = ("soak",)


def main(arguments: list[str]) -> int:
    match arguments:
        case [name] if name in EXPERIMENTS + LONG:
            print(f"{name}: {_title(name)}", file=sys.stderr)
            importlib.import_module(f"bench.{name}").main()
            return 0
        case [] | ["all"]:
            return max([_run(name) for name in EXPERIMENTS], key=abs)
        case ["--list"]:
            for name in EXPERIMENTS + LONG:
                print(f"{name:18}{_title(name)}")
            return 0
        case _:
            print(f"usage: python -m bench [all|--list|{'|'.join(EXPERIMENTS + LONG)}]", file=sys.stderr)
            return 64


def _run(name: str) -> int:
    """Run one experiment in its own process, which is stopped and cleans up when this process ends."""
    with subprocess.Popen([sys.executable, "-m", "bench", name]) as process:
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise


def _end(*_: object) -> None:
    """Raise an error on SIGTERM, so that an experiment stops everything that it started."""
    sys.exit(143)


def _title(name: str) -> str:
    """Return the first line of the experiment's docstring."""
    return (importlib.import_module(f"bench.{name}").__doc__ or "").partition("\n")[0]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    sys.exit(main(sys.argv[1:]))
