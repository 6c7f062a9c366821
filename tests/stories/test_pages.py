"""Every example of the README and the guide, unchanged: run against real servers and agents, its output compared."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.fleet import Fleet, free_port, make_home
from tests.pages import Reader, blocks
from tests.redis_server import RedisServer

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs/guide").glob("*.md"))]
WEB = {"role": "web"}
#: the nodes that a page speaks of; a page that is not here is read on one machine, after `qd up`
FLEETS = {
    "README.md": {"web-1": WEB, "web-2": WEB, "vm": {}},
    "command-line.md": {"web-1": WEB, "web-2": WEB},
    "running.md": {"web-1": WEB, "web-2": WEB, "web-3": {}},
    "files.md": {"web-1": WEB, "web-2": WEB},
    "logs.md": {"web-1": WEB, "web-2": WEB},
    "modules.md": {"web-1": WEB},
    "nodes.md": {"web-1": {}, "web-2": {}},
    "scripts.md": {"web-1": WEB},
    "redis.md": {"web-1": WEB},
    "python-client.md": {"web-1": WEB, "web-2": WEB},
}


@contextmanager
def one_machine(folder: Path) -> Iterator[dict[str, str]]:
    """Run `qd up` as the page does, with free ports; return the environment that it makes."""
    addresses = {"QD_HTTP": f"127.0.0.1:{free_port()}", "QD_LINK": f"127.0.0.1:{free_port()}"}
    statsd = f"127.0.0.1:{free_port()}"
    environment = {**addresses, "QD_HOME": str(folder / "home"), "QD_AGENT_NAME": "vm"}
    environment["QD_AGENT_STATS__STATSD_UDP"] = statsd
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("QD_")} | environment

    def qd(*arguments: str) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-m", "quarterdeck.cli.main", *arguments]
        return subprocess.run(program, env=inherited, capture_output=True, text=True, timeout=180, check=False)

    make_home(folder / "home")
    up = qd("up", "--detach", "--wait")
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        yield environment
    finally:
        qd("down")


@contextmanager
def fleet_of(page: Path, folder: Path, redis: str) -> Iterator[dict[str, str]]:
    """A server and the nodes of the page, with the configuration that it describes."""
    configuration = folder / "agent.toml"
    said = [block.text for block in blocks(page) if block.language == "toml" and "[agent." in block.text]
    configuration.write_text("\n".join(said))
    with Fleet(folder / "fleet", server_environment={"QD_REDIS": redis} if redis else {}) as fleet:
        for name, labels in FLEETS[page.name].items():
            agents = {"QD_AGENT_STATS__STATSD_UDP": f"127.0.0.1:{free_port()}", "QD_CONFIG": str(configuration)}
            fleet.join(name, labels=labels, environment=agents)
        yield {"QD_HOME": str(fleet.server.home), "QD_HTTP": fleet.http}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_examples_of_a_page_do_what_it_says(page: Path, tmp_path: Path) -> None:
    if not any("not run" not in block.notes for block in blocks(page)):
        return
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(tmp_path / "redis")) if page.name == "redis.md" else None
        if page.name in FLEETS:
            environment = stack.enter_context(fleet_of(page, tmp_path, redis.url if redis else ""))
        else:
            environment = stack.enter_context(one_machine(tmp_path))
        ports = {str(port): str(free_port()) for port in (8000, 8080)}
        replaced = {
            **ports,
            "127.0.0.1:8420": environment["QD_HTTP"],
            "127.0.0.1/8125": environment.get("QD_AGENT_STATS__STATSD_UDP", "").replace(":", "/"),
            "/var/lib/quarterdeck": environment["QD_HOME"],
            "/etc/nginx": str(tmp_path / "nginx"),
        }
        programs: dict[str, str] = {}
        if redis is not None:
            replaced["127.0.0.1:6379"] = f"127.0.0.1:{redis.port}"
            programs["redis-cli"] = f"{shutil.which('redis-cli')} -p {redis.port}"
        reader = Reader(tmp_path / "reader", environment, replaced=replaced, programs=programs)
        reader.read(page)
    assert not reader.wrong, "\n\n".join(reader.wrong)


def test_each_block_that_is_not_run_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    left = [
        (block.place, block.notes["not run"]) for page in PAGES for block in blocks(page) if "not run" in block.notes
    ]
    with capsys.disabled():
        print(f"\n{len(left)} examples are not run:")
        for place, why in left:
            print(f"  {place}: {why}")
    assert all(len(why.split()) > 2 for _, why in left)
