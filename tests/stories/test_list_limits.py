"""The limit of a list's entries: every list refuses an invalid one with the same error, on every interface."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator

import httpx
import pytest

from tests.fleet import Fleet


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Generator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("fleet")) as made:
        yield made


def get(fleet: Fleet, path: str) -> httpx.Response:
    token = (fleet.server.home / "admin.token").read_text().strip()
    return httpx.get(f"http://{fleet.http}/api/v1/{path}", headers={"Authorization": f"Bearer {token}"}, timeout=30)


@pytest.mark.parametrize("limit", ["0", "-1", "1000000000", "many", "9" * 40])
@pytest.mark.parametrize("path", ["commands", "jobs", "audit", "messages"])
def test_a_bad_limit_is_refused(fleet: Fleet, path: str, limit: str) -> None:
    answer = get(fleet, f"{path}?limit={limit}")
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert get(fleet, f"{path}?limit=1").status_code == 200
    assert get(fleet, path).status_code == 200


def test_a_state_that_there_is_not_is_refused(fleet: Fleet) -> None:
    assert get(fleet, "jobs?state=DONE").status_code == 400


@pytest.mark.parametrize(
    "words",
    [
        ("job", "ls", "--limit", "0"),
        ("job", "ls", "--limit", "-1"),
        ("job", "ls", "--limit", "10001"),
        ("audit", "--limit", "-1"),
        ("audit", "--limit", "0"),
        ("logs", "-n", "-1"),
        ("logs", "-n", "1000000000"),
        ("job", "ls", "--state", "DONE"),
    ],
    ids=" ".join,
)
def test_qd_says_what_it_expected(fleet: Fleet, words: tuple[str, ...]) -> None:
    environment = {**fleet.server.environment, "QD_HTTP": fleet.http}
    done = subprocess.run(
        [sys.executable, "-m", "quarterdeck.cli.main", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()
