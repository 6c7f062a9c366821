"""GraphiQL in a real browser: it asks with the login of the web UI, and loads nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from quarterdeck.model.jobs import CreateCommand
from quarterdeck.model.tokens import Role
from tests.browser import Visit, chromium
from tests.fleet import Fleet

EXECUTE, EDITOR, RESULT = "Execute query", "Query Editor", "Result Window"
#: parts that GraphiQL draws itself; the rest of the page is ours
FOREIGN = ".graphiql-container"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module", autouse=True)
def populated(fleet: Fleet) -> None:
    fleet.join("web-1", labels={"role": "web"})


@pytest.fixture
def viewer(browser: Browser, fleet: Fleet, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """The window of a viewer who has signed in to the web UI and opened GraphiQL."""
    visit = Visit(browser, fleet.http, fleet.client.api_tokens.create(request.node.name, Role.VIEWER).token)
    visit.page.goto(f"http://{fleet.http}/graphiql")
    yield visit
    assert visit.faults == []
    visit.close()


def run(visit: Visit, document: str) -> None:
    """Write a document into the editor and run it."""
    visit.page.get_by_label(EDITOR).click()
    visit.page.keyboard.press("Control+a")
    visit.page.keyboard.insert_text(document)
    visit.page.get_by_label(EXECUTE).click()


def see(visit: Visit, text: str) -> None:
    """Wait until the answer has the text."""
    expect(visit.page.get_by_label(RESULT)).to_contain_text(text)


def test_the_example_is_answered_with_the_login_of_the_ui(viewer: Visit) -> None:
    viewer.page.get_by_label(EXECUTE).click()
    see(viewer, '"name": "web-1"')
    see(viewer, '"totalCount": 1')


def test_a_query_is_written_and_answered_and_a_change_is_refused_to_a_viewer(viewer: Visit) -> None:
    run(viewer, '{ node(node: "web-1") { labels } }')
    see(viewer, '"role": "web"')
    run(viewer, 'mutation { removeNode(node: "web-1") }')
    see(viewer, '"code": "forbidden"')


def test_a_subscription_is_followed(viewer: Visit, fleet: Fleet) -> None:
    command = fleet.client.commands.create(CreateCommand(cmd="ping"), wait_s=30)
    run(viewer, f'subscription {{ commandJobs(command: "{command.id}") {{ job {{ state node {{ name }} }} }} }}')
    see(viewer, '"state": "OK"')
    see(viewer, '"name": "web-1"')
    # its button stops a stream while one runs
    expect(viewer.page.get_by_label(EXECUTE)).to_be_visible()


def test_the_schema_is_shown(viewer: Visit) -> None:
    viewer.page.get_by_label("Show Documentation Explorer").click()
    documentation = viewer.page.get_by_label("Documentation Explorer", exact=True)
    documentation.get_by_text("Query", exact=True).first.click()
    expect(documentation).to_contain_text("serverInfo")


def test_nothing_is_loaded_from_elsewhere(browser: Browser, fleet: Fleet) -> None:
    visit = Visit(browser, fleet.http)
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(request.url))
    visit.page.goto(f"http://{fleet.http}/graphiql")
    visit.page.get_by_label(EXECUTE).click()
    see(visit, '"code": "unauthenticated"')  # nobody has signed in
    elsewhere = [url for url in asked if not url.startswith((f"http://{fleet.http}/", "data:"))]
    assert (elsewhere, visit.faults) == ([], [])
    assert f"http://{fleet.http}/graphql" in asked
    visit.close()


def test_axe_has_no_serious_finding_in_our_page(viewer: Visit) -> None:
    viewer.page.get_by_label(EXECUTE).click()
    see(viewer, '"totalCount": 1')
    assert viewer.violations(without=FOREIGN) == []
