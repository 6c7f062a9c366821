"""`python -m tools.screenshots`: pictures of the web UI's pages with real data, in `build/screenshots/`.

With `--guide` it takes only those that the guide and README show, into `docs/guide/images/`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import expect

from quarterdeck.model.jobs import CreateCommand
from quarterdeck.model.nodes import Selector
from quarterdeck.model.services import ApplyServices, Service
from tests.browser import Visit, chromium
from tests.fleet import Fleet

_ROOT = Path(__file__).parent.parent
FOLDER = _ROOT / "build" / "screenshots"
_GUIDE = _ROOT / "docs" / "guide" / "images"
#: the pictures of the guide: the view and the theme of each
_SHOWN = {
    "overview": ("overview", "light"),
    "service": ("failing", "light"),
    "command": ("job", "light"),
    "deploy": ("deploy", "light"),
    "table": ("histogram", "light"),
    "logs": ("logs", "dark"),
}
#: the button that is pressed before a picture is taken
_PRESSED = {"deploy": "Deploy"}
#: how long the fleet runs before it is looked at, so that charts have something to show
_LIVED_S = 60
_NARROW = {"width": 390, "height": 800}
_NODES = {"web-1": "web", "web-2": "web", "web-3": "web", "db-1": "db", "db-2": "db", "queue-1": "queue"}
_MODULES = ("execs", "cpu_profile", "run_queue_latency", "tcp_connections")
_PRINTS = """
n=0
while true; do
  n=$((n + 1)); echo "5::GET /orders/$n 200 in $((n % 17 + 3)) ms"
  [ $((n % 7)) = 0 ] && echo "7::the answer of the cache took $((n * 13 % 400)) ms"
  [ $((n % 23)) = 0 ] && echo "9::connection to db-1 refused, trying again"
  sleep 0.3
done
"""
_VIEWS = {
    "overview": "/",
    "nodes": "/nodes",
    "node": "/nodes/web-1?tab=usage&range=15m",
    "services": "/services",
    "service": "/services/shop?range=15m",
    "failing": "/services/mailer",
    "edit": "/services/edit?service=shop",
    "run": "/run?text=uptime+-p&nodes=role%3Dweb",
    "jobs": "/jobs",
    "logs": "/logs?range=15m",
    "modules": "/modules",
    "module": "/modules/execs",
    "deploy": "/modules/opens",
    "tables": "/tables",
    "table": "/tables/execs?range=15m",
    "histogram": "/tables/run_queue_latency?range=15m",
    "flames": "/tables/cpu_profile?range=15m",
    "query": "/query?sql=SELECT+toStartOfInterval(time%2C+INTERVAL+10+SECOND)+AS+at%2C+comm%2C+count()+AS+started"
    "+FROM+execs+GROUP+BY+at%2C+comm+ORDER+BY+at&as=chart",
    "schedules": "/schedules",
    "access": "/access",
    "audit": "/access?tab=audit",
    "about": "/about",
}


def main() -> None:
    """Start a fleet, let it live, and look at each page, or with `--guide` at those of the guide."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, Fleet(Path(folder)) as fleet, chromium() as browser:
        views = {**_VIEWS, "job": f"/jobs/{populate(fleet)}"}
        token = (fleet.server.home / "admin.token").read_text()
        time.sleep(_LIVED_S)
        for theme in ("light", "dark"):
            visit = Visit(browser, fleet.http, token, color_scheme=theme)
            if "--guide" in sys.argv:
                for name, (view, shown) in _SHOWN.items():
                    if shown == theme:
                        take(visit, view, views[view], _GUIDE / f"{name}.png")
            else:
                for view, address in views.items():
                    take(visit, view, address, FOLDER / f"{view}-{theme}.png")
            visit.close()
        if "--guide" not in sys.argv:
            narrow = Visit(browser, fleet.http, token, viewport=_NARROW)
            for view in ("overview", "jobs", "run"):
                take(narrow, view, views[view], FOLDER / f"{view}-narrow.png")
            narrow.close()


def take(visit: Visit, view: str, address: str, path: Path) -> None:
    """Open a view and save its picture."""
    visit.open(address)
    if view in _PRESSED:
        visit.page.get_by_role("button", name=_PRESSED[view]).click()
    settle(visit)
    visit.picture(path)


def settle(visit: Visit) -> None:
    """Wait until what the page loads is drawn."""
    visit.page.wait_for_timeout(1500)
    expect(visit.page.locator(".ant-skeleton, .ant-spin-spinning")).to_have_count(0)
    visit.page.wait_for_timeout(700)


def populate(fleet: Fleet) -> str:
    """Fill the fleet with what there is to see; return the id of a command."""
    for name, role in _NODES.items():
        fleet.join(name, labels={"role": role, "zone": "north" if name.endswith(("1", "3")) else "south"})
    on_web = Selector(labels={"role": "web"})
    services = (
        Service(name="shop", command=("/bin/sh", "-c", _PRINTS), selector=on_web),
        Service(name="store", command=("sleep", "100000"), selector=Selector(labels={"role": "db"})),
        Service(name="mailer", command=("/bin/sh", "-c", "echo 9::no relay is configured; exit 4"), max_restart=1),
    )
    fleet.client.services.apply(ApplyServices(services=services, group="shop"))
    for module in _MODULES:
        fleet.client.modules.deploy(module)
    script = "echo checking; df -h / | tail -1; sleep 1; echo 7::the disk is fuller than yesterday"
    ask = fleet.client.commands.create
    ask(CreateCommand(cmd="execute", args={"cmd": "false"}, selector=Selector(nodes=("db-2",))), wait_s=30)
    ask(CreateCommand(cmd="execute", args={"cmd": "uptime", "args": ["-p"]}), wait_s=30)
    return ask(CreateCommand(cmd="execute_sh", args={"script": script}), wait_s=30).id


if __name__ == "__main__":
    main()
