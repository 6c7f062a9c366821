"""The web UI in a real browser, against a real server and its agents: each page does its main job."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from quarterdeck.model.jobs import CreateCommand
from quarterdeck.model.nodes import Selector
from quarterdeck.model.saved_queries import SaveQuery
from quarterdeck.model.services import ApplyServices, Service
from quarterdeck.model.tokens import Role
from tests.browser import Visit, chromium
from tests.fleet import Fleet, eventually

NUMBERS = itertools.count(1)
#: buttons; their icons have names too
RUN, SAVE, SAVED = (re.compile(rf"\b{word}$") for word in ("Run", "Save", "Saved"))
ANSWERED = re.compile(r"\brows? in\b")
TICKER = ("/bin/sh", "-c", "while true; do echo tick; echo 9::trouble here; sleep 1; done")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module", autouse=True)
def populated(fleet: Fleet) -> Iterator[None]:
    """Two nodes, a service that is well and one that fails, a deployed module, and jobs."""
    often = {"QD_AGENT_USAGE__INTERVAL_S": "5s"}
    fleet.join("web-1", labels={"role": "web"}, environment=often)
    fleet.join("db-1", labels={"role": "db"}, environment=often)
    services = (Service(name="ticker", command=TICKER), Service(name="broken", command=("/bin/false",), max_restart=0))
    fleet.client.services.apply(ApplyServices(services=services))
    fleet.client.modules.deploy("execs")
    fleet.client.commands.create(CreateCommand(cmd="execute", args={"cmd": "false"}), wait_s=30)
    fleet.wait_running("execs", "web-1", "db-1")
    fleet.wait_rows("SELECT 1 FROM execs LIMIT 1")
    yield
    for name in ("ticker", "broken"):
        fleet.client.services.remove(name)
    eventually(lambda: not fleet.client.services.list(), "the services to be gone")


def token(fleet: Fleet, role: Role) -> str:
    return fleet.client.api_tokens.create(f"{role} {next(NUMBERS)}", role).token


@pytest.fixture(scope="module")
def admin(browser: Browser, fleet: Fleet) -> Iterator[Visit]:
    """An administrator's window, which the tests share."""
    visit = Visit(browser, fleet.http, token(fleet, Role.ADMIN))
    yield visit
    assert visit.faults == []
    visit.close()


def test_a_link_signs_in_once_and_leaves_no_code_in_the_address(browser: Browser, fleet: Fleet) -> None:
    code = fleet.client.logins.create_code()
    visit = Visit(browser, fleet.http)
    visit.page.goto(f"http://{fleet.http}{code.path}")
    visit.heading("Overview")
    assert code.code not in visit.page.url
    again = Visit(browser, fleet.http)
    again.page.goto(f"http://{fleet.http}{code.path}")
    expect(again.page.get_by_role("alert")).to_be_visible()
    expect(again.page.get_by_label("API token")).to_be_visible()
    visit.close()
    again.close()


def test_a_page_whose_token_is_revoked_leads_to_the_sign_in_with_the_reason(browser: Browser, fleet: Fleet) -> None:
    made = fleet.client.api_tokens.create("leaver", Role.VIEWER)
    visit = Visit(browser, fleet.http, made.token)
    visit.open("/logs")
    visit.see("tick")
    fleet.client.api_tokens.remove(made.info.id)
    expect(visit.page.get_by_label("API token")).to_be_visible()
    expect(visit.page.get_by_role("alert")).to_be_visible()
    visit.close()


def test_a_wrong_token_is_refused_with_the_reason_and_sign_out_ends_the_login(browser: Browser, fleet: Fleet) -> None:
    visit = Visit(browser, fleet.http)
    visit.open("/nodes")
    visit.page.get_by_label("API token").fill("wrong")
    visit.page.get_by_role("button", name="Sign in").click()
    expect(visit.page.get_by_role("alert")).to_be_visible()
    visit.page.get_by_label("API token").fill(token(fleet, Role.VIEWER))
    visit.page.get_by_role("button", name="Sign in").click()
    visit.heading("Nodes")
    visit.page.get_by_role("button", name="Signed in as").click()
    visit.page.get_by_text("Sign out").click()
    expect(visit.page.get_by_label("API token")).to_be_visible()
    visit.reload()
    expect(visit.page.get_by_label("API token")).to_be_visible()
    visit.close()


def test_a_viewer_is_offered_nothing_that_it_may_not_do(browser: Browser, fleet: Fleet) -> None:
    visit = Visit(browser, fleet.http, token(fleet, Role.VIEWER))
    visit.open("/services/ticker")
    visit.see("RUNNING")
    expect(visit.page.get_by_role("button", name="Restart")).to_have_count(0)
    visit.open("/run?text=uptime")
    visit.see("You may look, but not run commands.")
    expect(visit.page.get_by_role("button", name=RUN)).to_be_disabled()
    visit.open("/access")
    visit.see("Only administrators")
    visit.close()


def test_the_overview_says_what_is_wrong_and_leads_to_it(admin: Visit) -> None:
    admin.open("/")
    admin.page.get_by_role("link", name="Service broken is FAILED on 2 nodes").click()
    admin.heading("broken")
    admin.page.go_back()
    admin.page.get_by_role("link", name="failed in the last hour").click()
    admin.heading("Jobs")
    admin.see("exit code 1")


def test_a_newcomer_finds_the_cause_runs_a_program_and_looks_at_a_module_by_clicks_alone(
    admin: Visit, fleet: Fleet
) -> None:
    page = admin.page
    admin.open("/")
    page.get_by_role("link", name="Service broken is FAILED on 2 nodes").click()
    page.get_by_role("alert").get_by_role("link", name="What it printed").click()
    admin.heading("Logs")
    page.go_back()
    page.locator("tbody").get_by_role("link", name="web-1").click()
    page.get_by_role("link", name="Run on it").click()
    page.get_by_label("Program and arguments").fill("echo all right")
    expect(page.get_by_text("1 node", exact=True)).to_be_visible()
    page.get_by_role("button", name=RUN).click()
    expect(page.get_by_role("region", name="Messages").get_by_text("all right")).to_be_visible()
    page.get_by_role("link", name="Modules", exact=True).click()
    page.get_by_role("link", name="opens").first.click()
    page.get_by_role("button", name="Deploy").click()
    page.get_by_role("dialog").get_by_role("button", name="Deploy").click()
    fleet.wait_running("opens", "web-1", "db-1")
    page.get_by_role("link", name="opens", exact=True).click()
    expect(page.get_by_role("img", name="Rows per second")).to_be_visible()
    fleet.client.modules.undeploy("opens")


def test_nodes_are_filtered_and_the_filter_survives_a_reload(admin: Visit) -> None:
    admin.open("/nodes")
    admin.page.get_by_label("Text to find").fill("role=web")
    expect(admin.page.get_by_role("link", name="db-1")).to_have_count(0)
    expect(admin.page.get_by_role("link", name="web-1")).to_be_visible()
    assert "q=role" in admin.page.url
    admin.reload()
    expect(admin.page.get_by_role("link", name="web-1")).to_be_visible()
    expect(admin.page.get_by_role("link", name="db-1")).to_have_count(0)


def test_a_node_shows_its_services_and_keeps_its_tab(admin: Visit) -> None:
    admin.open("/nodes/web-1")
    admin.page.get_by_role("tab", name="Services").click()
    expect(admin.page.get_by_role("link", name="ticker")).to_be_visible()
    admin.reload()
    expect(admin.page.get_by_role("link", name="ticker")).to_be_visible()


def test_the_configuration_of_a_node_is_read_and_stays_readable(admin: Visit) -> None:
    admin.open("/nodes/db-1?tab=configuration")
    expect(admin.page.get_by_text("was not read yet")).to_be_visible()
    admin.page.get_by_role("button", name="Read it now").click()
    expect(admin.page.get_by_role("row", name="usage.interval_s 5")).to_be_visible()
    admin.reload()
    expect(admin.page.get_by_role("row", name="jobs.max_jobs 100")).to_be_visible()
    expect(admin.page.get_by_role("row", name="token (set)")).to_be_visible()


def measured(fleet: Fleet, table: str) -> None:
    """Wait until both nodes have rows of usage, so that the first answer to the browser has them."""
    fleet.wait_rows(f"SELECT 1 FROM {table} HAVING uniqExact(gid, nid) = 2")


def test_a_node_draws_its_usage_over_the_range_in_the_address(admin: Visit, fleet: Fleet) -> None:
    for table in ("host_usage", "disk_usage", "module_usage"):
        measured(fleet, table)
    admin.open("/nodes/web-1")
    admin.page.get_by_role("tab", name="Usage").click()
    cpu = admin.page.get_by_role("img", name="CPU over time", exact=True).first
    expect(cpu).to_be_visible()
    expect(cpu.get_by_text("iowait")).to_be_visible()
    for chart in ("Memory", "Load", "Disk space in use", "Memory in the kernel"):
        expect(admin.page.get_by_role("img", name=f"{chart} over time", exact=True).first).to_be_visible()
    admin.page.get_by_text("15m", exact=True).click()
    admin.page.wait_for_url("**range=15m**")
    admin.reload()
    expect(cpu).to_be_visible()
    expect(admin.page.get_by_role("radio", name="15m")).to_be_checked()


def test_a_module_draws_its_cost_on_each_node(admin: Visit, fleet: Fleet) -> None:
    measured(fleet, "module_usage")
    admin.open("/modules/execs?range=15m")
    cost = admin.page.get_by_role("img", name="CPU, kernel over time")
    expect(cost.get_by_text("web-1")).to_be_visible()
    expect(cost.get_by_text("db-1")).to_be_visible()


def test_a_command_runs_and_its_output_is_seen_live(admin: Visit) -> None:
    admin.open("/run")
    admin.page.get_by_label("Program and arguments").fill("sh -c 'echo begun; sleep 2; echo over; exit 3'")
    admin.page.get_by_label("Nodes", exact=True).fill("role=web")
    expect(admin.page.get_by_text("1 node", exact=True)).to_be_visible()
    admin.page.get_by_role("button", name=RUN).click()
    admin.heading("Command")
    lines = admin.page.get_by_role("region", name="Messages")
    expect(lines.get_by_text("begun")).to_be_visible()
    expect(lines.get_by_text("over")).to_be_visible()
    admin.see("exit code 3")
    admin.reload()
    expect(lines.get_by_text("over")).to_be_visible()
    assert_accessible(admin)


def test_a_running_command_is_cancelled(admin: Visit) -> None:
    admin.open("/run?text=sleep+600&nodes=db-1")
    admin.page.get_by_role("button", name=RUN).click()
    admin.heading("Command")
    admin.page.get_by_role("button", name="Cancel").click()
    admin.page.get_by_role("button", name="End them").click()
    expect(admin.page.get_by_text("KILLED").first).to_be_visible()


def test_jobs_are_filtered_by_failure(admin: Visit) -> None:
    admin.open("/jobs?state=failed")
    expect(admin.page.get_by_role("link", name="false").first).to_be_visible()
    expect(admin.page.locator("tbody").get_by_text("OK", exact=True)).to_have_count(0)


def test_a_filter_that_leaves_nothing_is_removed_with_one_click(admin: Visit) -> None:
    admin.open("/services?q=nosuch&state=bad")
    admin.see("No service matches the filter.")
    admin.page.get_by_role("button", name="Show every service").click()
    expect(admin.page.get_by_role("link", name="ticker")).to_be_visible()
    assert "nosuch" not in admin.page.url
    admin.open("/schedules?state=off")
    admin.see("Nothing is scheduled.")


def test_logs_follow_search_and_keep_their_place(admin: Visit) -> None:
    admin.open("/logs?level=8%2C9&name=ticker&range=15m")
    lines = admin.page.get_by_role("region", name="Messages")
    expect(lines.get_by_text("trouble here").first).to_be_visible()
    expect(lines.get_by_text("tick", exact=True)).to_have_count(0)
    admin.see("live")

    def found() -> int:
        return int(admin.page.get_by_text(re.compile(r"^[\d,]+ messages$")).inner_text().split()[0].replace(",", ""))

    before = found()
    eventually(lambda: found() > before, "new messages to appear", seconds=30)


def test_lines_that_are_read_stay_where_they_are_while_others_come(admin: Visit, fleet: Fleet) -> None:
    def print_lines(word: str) -> None:
        script = f"for n in $(seq 300); do echo {word} $n; done"
        made = CreateCommand(cmd="execute_sh", args={"script": script}, selector=Selector(nodes=("db-1",)))
        fleet.client.commands.create(made, wait_s=30)

    admin.open("/logs?nodes=db-1&level=1-2&range=15m")
    admin.see("live")
    lines = admin.page.get_by_role("region", name="Messages")
    print_lines("early")
    expect(lines.get_by_text("early 300", exact=True)).to_be_visible()
    lines.evaluate("list => { list.scrollTop = 2000 }")
    newest = admin.page.get_by_role("button", name="Newest")
    expect(newest).to_be_visible()
    read = lines.get_by_text(lines.get_by_text(re.compile("^early")).nth(25).inner_text(), exact=True)
    place = read.bounding_box()
    print_lines("late")
    admin.page.get_by_text(re.compile(r"^(6\d\d|[7-9]\d\d|[\d,]{4,}) messages$")).wait_for()
    assert read.bounding_box() == place
    newest.click()
    expect(lines.get_by_text("late 300", exact=True)).to_be_visible()
    expect(newest).to_have_count(0)


def test_a_service_is_declared_with_a_plan_and_removed(admin: Visit, fleet: Fleet) -> None:
    admin.open("/services/edit")
    source = json.dumps(
        {"services": [{"name": "made", "command": ["sleep", "1000"], "selector": {"nodes": ["web-1"]}}]}
    )
    admin.page.get_by_label("Services as JSON").fill(source)
    admin.page.get_by_role("button", name="Show the plan").click()
    admin.see("made on 1 node")
    assert "made" not in {info.service.name for info in fleet.client.services.list()}
    admin.page.get_by_role("button", name="Apply").click()
    admin.page.get_by_role("link", name="made").click()
    admin.heading("made")
    admin.see("RUNNING")
    admin.page.get_by_role("button", name="Remove").click()
    admin.page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    admin.heading("Services")
    eventually(lambda: all(info.service.name != "made" for info in fleet.client.services.list()), "it to be gone")


def test_a_module_is_deployed_with_a_setting_and_undeployed(admin: Visit, fleet: Fleet) -> None:
    admin.open("/modules/tcp_connections")
    admin.page.get_by_role("button", name="Deploy").click()
    admin.page.get_by_label("only_port").fill("443")
    admin.page.get_by_role("dialog").get_by_label("Nodes").fill("web-1")
    admin.page.get_by_role("dialog").get_by_role("button", name="Deploy").click()
    admin.see("only_port = 443")
    fleet.wait_running("tcp_connections", "web-1")
    admin.page.get_by_role("button", name="Undeploy").click()
    admin.page.get_by_role("button", name="Stop it").click()
    admin.see("It runs nowhere.")


def test_a_table_is_a_dashboard(admin: Visit) -> None:
    admin.open("/tables/execs?range=15m")
    expect(admin.page.get_by_role("img", name="Rows per second")).to_be_visible()
    admin.see("Top comm by rows")
    expect(admin.page.locator(".ant-table-row").get_by_text("sleep").first).to_be_visible()


def test_a_query_is_answered_drawn_and_shared_by_its_address(admin: Visit) -> None:
    admin.open("/query")
    editor = admin.page.get_by_label("SQL")
    editor.fill("SELECT number AS n, now() + number AS at FROM numbers(3)")
    editor.press("Control+Enter")
    admin.see("3 rows in")
    assert "numbers" in admin.page.url
    admin.reload()
    admin.see("3 rows in")
    admin.page.get_by_text("Chart", exact=True).click()
    expect(admin.page.get_by_role("img", name="The answer over time")).to_be_visible()
    editor.fill("SELECT broken FROM nowhere")
    editor.press("Control+Enter")
    expect(admin.page.get_by_role("alert").first).to_be_visible()


def test_a_query_is_saved_for_all_users(browser: Browser, admin: Visit, fleet: Fleet) -> None:
    admin.open("/query")
    dialog = admin.page.get_by_role("dialog")
    admin.page.get_by_label("SQL").fill("SELECT 41 + 1 AS answer")
    admin.page.get_by_role("button", name=SAVE).click()
    admin.page.get_by_label("Name").fill("the answer")
    admin.page.get_by_label("What it tells").fill("of everything")
    dialog.get_by_role("button", name="Save").click()
    eventually(fleet.client.saved_queries.list, "the query to be saved")

    viewer = Visit(browser, fleet.http, token(fleet, Role.VIEWER))
    viewer.open("/query")
    viewer.page.get_by_role("button", name=SAVED).click()
    viewer.page.get_by_role("button", name="the answer", exact=True).click()
    viewer.page.get_by_text(ANSWERED).wait_for()
    expect(viewer.page.get_by_role("button", name=SAVE)).to_have_count(0)
    viewer.open("/query?saved=the+answer")
    viewer.page.get_by_text(ANSWERED).wait_for()
    viewer.close()
    fleet.client.saved_queries.remove("the answer")


def test_a_saved_query_is_replaced_only_when_seen(admin: Visit, fleet: Fleet) -> None:
    dialog = admin.page.get_by_role("dialog")
    fleet.client.saved_queries.save("the answer", SaveQuery(sql="SELECT 41 + 1 AS answer"))
    admin.open("/query?saved=the+answer")
    admin.page.get_by_text(ANSWERED).wait_for()
    seen = fleet.client.saved_queries.get("the answer")
    fleet.client.saved_queries.save("the answer", SaveQuery(sql="SELECT 7 AS other", replaces=seen.version))
    admin.page.get_by_label("SQL").fill("SELECT 43 AS answer")
    admin.page.get_by_role("button", name=SAVE).click()
    dialog.get_by_text("SELECT 7 AS other").wait_for()
    dialog.get_by_role("button", name="Replace").click()
    eventually(lambda: fleet.client.saved_queries.get("the answer").sql == "SELECT 43 AS answer", "it to be replaced")

    admin.page.get_by_role("button", name=SAVED).click()
    admin.page.get_by_role("button", name="Remove the answer").click()
    admin.page.get_by_role("button", name="Remove", exact=True).click()
    admin.see("No query is saved.")


def test_queries_that_one_browser_saved_are_offered_to_all(admin: Visit, fleet: Fleet) -> None:
    admin.open("/query")
    own = json.dumps({"of old": "SELECT 5"})
    admin.page.evaluate(f"localStorage.setItem('quarterdeck.queries.saved', {json.dumps(own)})")
    admin.page.get_by_role("button", name=SAVED).click()
    admin.page.get_by_role("button", name="Share with all users").click()
    eventually(fleet.client.saved_queries.list, "the query to be shared")
    expect(admin.page.get_by_text("Saved in this browser only")).to_have_count(0)
    fleet.client.saved_queries.remove("of old")


def test_a_command_becomes_a_schedule(admin: Visit, fleet: Fleet) -> None:
    admin.open("/run?text=uptime&nodes=web-1")
    admin.page.get_by_role("button", name="Save as a schedule").click()
    admin.page.get_by_label("Name").fill("nightly")
    admin.page.get_by_role("dialog").get_by_role("button", name="Save").click()
    admin.heading("Schedules")
    admin.see("nightly")
    admin.page.get_by_role("switch", name="nightly is enabled").click()
    eventually(lambda: not fleet.client.schedules.get("nightly").enabled, "it to be disabled")
    admin.page.get_by_role("button", name="Delete nightly").click()
    admin.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    admin.see("Nothing is scheduled.")


def test_tokens_are_made_and_revoked_and_the_audit_log_has_it(admin: Visit) -> None:
    admin.open("/access")
    admin.page.get_by_role("button", name="New API token").click()
    admin.page.get_by_label("Name").fill("robot")
    admin.page.get_by_role("dialog").get_by_role("button", name="Create").click()
    admin.see("It is shown only now.")
    admin.page.get_by_role("button", name="I have it").click()
    admin.page.get_by_role("button", name="Revoke the token robot").click()
    admin.page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(admin.page.get_by_role("button", name="Revoke the token robot")).to_have_count(0)
    admin.page.get_by_role("tab", name="Audit log").click()
    admin.see("revokeApiToken")


def test_the_palette_finds_a_node_by_keyboard(admin: Visit) -> None:
    admin.open("/about")
    admin.heading("About")
    admin.page.keyboard.press("Control+k")
    admin.page.get_by_role("combobox", name="Find").fill("db-")
    expect(admin.page.get_by_role("option", name="db-1")).to_be_visible()
    admin.page.keyboard.press("Enter")
    admin.heading("db-1")


def test_the_palette_finds_commands_by_their_words_and_their_id(admin: Visit, fleet: Fleet) -> None:
    request = CreateCommand(cmd="execute", args={"cmd": "echo", "args": ["sought"]}, id="palette-1")
    fleet.client.commands.create(request, wait_s=60)
    for text in ("sought", "palette-", "echo sought web-1"):
        admin.open("/about")
        admin.heading("About")
        admin.page.keyboard.press("Control+k")
        admin.page.get_by_role("combobox", name="Find").fill(text)
        admin.page.get_by_role("option", name="echo sought").click()
        admin.heading("Command")
        assert admin.page.url.endswith("/jobs/palette-1")


def test_a_narrow_screen_has_its_navigation_in_a_drawer(browser: Browser, fleet: Fleet) -> None:
    visit = Visit(browser, fleet.http, token(fleet, Role.VIEWER), viewport={"width": 390, "height": 800})
    visit.page.get_by_role("button", name="Navigation").click()
    visit.page.get_by_role("link", name="Jobs", exact=True).click()
    visit.heading("Jobs")
    for view, title in VIEWS.items():
        visit.open(view)
        visit.heading(title)
        assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
    visit.close()


def test_a_script_is_opened_changed_and_stored_again(admin: Visit, fleet: Fleet) -> None:
    page = admin.page
    args = {"script": "echo first $1\n", "args": ["-v"], "max_time": 60}
    made = fleet.client.commands.create(CreateCommand(cmd="execute_sh", args=args), wait_s=60)
    admin.open(f"/jobs/{made.id}")
    page.get_by_role("button", name="Script").click()
    admin.see("echo first $1")
    page.get_by_role("button", name="Change or schedule").click()
    editor = page.get_by_label("Script", exact=True)
    expect(editor).to_have_value("echo first $1\n")
    editor.fill("echo second $1\n")
    page.get_by_role("button", name="Save as a schedule").click()
    page.get_by_label("Name").fill("edited")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    admin.heading("Schedules")
    stored = fleet.client.schedules.get("edited").command.args
    assert {name: stored[name] for name in ("args", "max_time")} == {"args": ["-v"], "max_time": 60}
    assert fleet.client.scripts.get(str(stored["sha256"])).source == "echo second $1\n"
    page.get_by_role("link", name="Edit edited").click()
    expect(editor).to_have_value("echo second $1\n")
    admin.see('args=["-v"]')
    fleet.client.schedules.remove("edited")


def test_a_script_that_is_too_long_for_an_address_is_opened_too(admin: Visit, fleet: Fleet) -> None:
    source = f"true # {'x' * 1000}\n" * 9
    made = fleet.client.commands.create(CreateCommand(cmd="execute_sh", args={"script": source}), wait_s=60)
    admin.open(f"/run?from={made.id}")
    editor = admin.page.get_by_label("Script", exact=True)
    expect(editor).to_have_value(source)
    admin.reload()
    expect(editor).to_have_value(source)
    editor.fill(source + "false\n")
    expect(editor).to_have_value(source + "false\n")
    assert len(admin.page.url) < 1000


VIEWS = {
    "/": "Overview",
    "/nodes": "Nodes",
    "/nodes/web-1": "web-1",
    "/nodes/web-1?tab=usage": "web-1",
    "/nodes/web-1?tab=configuration": "web-1",
    "/services": "Services",
    "/services/ticker": "ticker",
    "/services/edit": "Declare services",
    "/run": "Run",
    "/jobs": "Jobs",
    "/schedules": "Schedules",
    "/logs": "Logs",
    "/modules": "Modules",
    "/modules/execs": "execs",
    "/tables": "Tables",
    "/tables/execs": "execs",
    "/query": "Query",
    "/access": "Access",
    "/access?tab=audit": "Access",
    "/about": "About",
    "/nosuch": "No such page",
}


@pytest.mark.parametrize(("view", "title"), VIEWS.items())
def test_axe_has_no_serious_finding(admin: Visit, view: str, title: str) -> None:
    admin.open(view)
    admin.heading(title)
    admin.page.wait_for_timeout(1000)  # until what it loads is drawn
    assert_accessible(admin)


def assert_accessible(visit: Visit) -> None:
    """Check what is shown with axe-core, in both themes."""
    light = visit.violations()
    visit.theme("dark")
    dark = visit.violations()
    visit.theme("light")
    assert (light, dark) == ([], [])


DIALOGS = {
    "/run?text=uptime": "Save as a schedule",
    "/modules/opens": "Deploy",
    "/nodes/web-1": "Labels",
    "/services/ticker": "Remove",
    "/access": "New API token",
    "/access?tab=join": "New join token",
    "/query?sql=SELECT+1": "Save",
}


@pytest.mark.parametrize(("view", "button"), DIALOGS.items())
def test_a_dialog_is_accessible_and_closed_by_escape(admin: Visit, view: str, button: str) -> None:
    admin.open(view)
    admin.page.get_by_role("button", name=re.compile(rf"\b{button}$")).click()
    dialog = admin.page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    assert_accessible(admin)
    admin.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_the_palette_and_the_sign_in_are_accessible(admin: Visit, browser: Browser, fleet: Fleet) -> None:
    admin.open("/about")
    admin.heading("About")
    admin.page.keyboard.press("Control+k")
    expect(admin.page.get_by_role("option").first).to_be_visible()
    assert_accessible(admin)
    admin.page.keyboard.press("Escape")
    stranger = Visit(browser, fleet.http)
    stranger.open("/")
    expect(stranger.page.get_by_label("API token")).to_be_visible()
    assert_accessible(stranger)
    stranger.close()


def test_a_restarted_server_is_shown_and_healed_from(admin: Visit, fleet: Fleet) -> None:
    admin.open("/nodes")
    admin.heading("Nodes")
    fleet.server.stop()
    admin.see("The connection to the server is lost.")
    fleet.start_server()
    expect(admin.page.get_by_text("The connection to the server is lost.")).to_have_count(0)
    expect(admin.page.locator("tbody").get_by_text("ONLINE")).to_have_count(2)
