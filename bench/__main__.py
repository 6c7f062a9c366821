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
)


def main(arguments: list[str]) -> int:
    match arguments:
        case [name] if name in EXPERIMENTS:
            print(f"{name}: {_title(name)}", file=sys.stderr)
            importlib.import_module(f"bench.{name}").main()
            return 0
        case [] | ["all"]:
            return max([_run(name) for name in EXPERIMENTS], key=abs)
        case ["--list"]:
            for name in EXPERIMENTS:
                print(f"{name:18}{_title(name)}")
            return 0
        case _:
            print(f"usage: python -m bench [all|--list|{'|'.join(EXPERIMENTS)}]", file=sys.stderr)
            return 64


def _run(name: str) -> int:
    """One experiment in a process of its own; it ends when this one does, and cleans up."""
    with subprocess.Popen([sys.executable, "-m", "bench", name]) as process:
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise


def _end(*_: object) -> None:
    """SIGTERM ends an experiment as an error does: whatever it started is stopped on the way out."""
    sys.exit(143)


def _title(name: str) -> str:
    """The first line of the experiment's own description."""
    return (importlib.import_module(f"bench.{name}").__doc__ or "").partition("\n")[0]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    sys.exit(main(sys.argv[1:]))
