"""The options that all verbs share, against a real fleet of two nodes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from quarterdeck import __version__
from quarterdeck.link.messages import PROTOCOL_VERSION
from tests.fleet import Fleet


@pytest.fixture(scope="module", autouse=True)
def nodes(fleet: Fleet) -> None:
    fleet.join("one", labels={"role": "web,db"})
    fleet.join("two", labels={"role": "web"})


def qd(
    fleet: Fleet, *arguments: str, stdin: str = "", fails: bool = False, token: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run `qd`, which succeeds unless it `fails`; `token` is used in place of this machine's own."""
    done = subprocess.run(
        [sys.executable, "-m", "quarterdeck.cli.main", *arguments],
        env={**fleet.server.environment, "QD_HTTP": fleet.http, **({"QD_TOKEN": token} if token else {})},
        stdin=None if stdin else subprocess.DEVNULL,
        input=stdin or None,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert bool(done.returncode) == fails, done.stdout + done.stderr
    return done


@pytest.mark.parametrize("options", [("--role", "db"), ("--on", "role=db"), ("--role", "web", "--role", "db")])
def test_a_role_means_the_same_however_it_is_written(fleet: Fleet, options: tuple[str, ...]) -> None:
    assert qd(fleet, "node", "ls", *options, "-o", "name").stdout == "one\n"


def test_an_answer_is_printed_as_json(fleet: Fleet) -> None:
    assert json.loads(qd(fleet, "query", "--json", "select 1").stdout)["rows"] == [[1]]
    assert qd(fleet, "query", "select 1", "-o", "name").stdout == "1\n"


@pytest.mark.parametrize(
    "verb",
    [
        ("run", "true"),
        ("job", "start", "ping"),
        ("job", "schedule", "add", "beat", "ping", "--every", "1h"),
        ("module", "deploy", "execs"),
    ],
    ids=" ".join,
)
def test_nothing_reaches_the_whole_fleet_unasked(fleet: Fleet, verb: tuple[str, ...]) -> None:
    refused = qd(fleet, *verb, fails=True)
    assert refused.returncode == 2
    assert "all 2 nodes" in refused.stderr
    assert "--all" in refused.stderr


def test_a_file_from_standard_input_does_not_spread_when_it_is_applied_again(fleet: Fleet) -> None:
    file = '[service.idle]\ncommand = ["sleep", "1000"]\n'
    assert "all 2 nodes" in qd(fleet, "service", "apply", "-", stdin=file, fails=True).stderr
    qd(fleet, "service", "apply", "-", "--node", "one", stdin=file)
    refused = qd(fleet, "service", "apply", "-", stdin=file, fails=True)
    assert "spread from one to every node" in refused.stderr
    assert "added" not in qd(fleet, "service", "apply", "-", "--all", stdin=file).stdout
    assert qd(fleet, "service", "ls", "-o", "name").stdout == "idle\n"


def test_several_names_are_all_tried(fleet: Fleet) -> None:
    tried = qd(fleet, "node", "label", "one", "nobody", "two", "site=north", fails=True)
    assert tried.stdout.count("site=north") == 2
    assert "There is no node 'nobody'" in tried.stderr
    assert tried.returncode == 4


def test_a_label_that_could_not_be_selected_is_refused(fleet: Fleet) -> None:
    for label in ("a b=c", "x=a,b", "x=a=b"):
        assert "could not be selected" in qd(fleet, "node", "label", "one", label, fails=True).stderr
    assert "could not be selected" in qd(fleet, "token", "create", "--label", "x=a b", fails=True).stderr


def test_jobs_are_listed_by_nodes_and_time(fleet: Fleet) -> None:
    qd(fleet, "job", "start", "ping", "--all", "--id", "both")
    listed = qd(fleet, "job", "ls", "--role", "db", "--since", "1h", "-o", "csv").stdout.splitlines()
    assert [line.split(",")[2] for line in listed] == ["node", "one"]
    assert qd(fleet, "job", "ls", "--role", "db", "--since", "2999-01-01", "-o", "name").stdout == ""


COMPLETE = """
source <(qd completion bash)
while read -ra COMP_WORDS; do
    COMP_WORDS[-1]=${COMP_WORDS[-1]#.}  # a dot begins the word that is completed
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    COMPREPLY=()
    _qd
    echo "${COMPREPLY[@]}"
done
"""


def completed(fleet: Fleet, *lines: str, http: str = "") -> list[list[str]]:
    """Return what bash offers for the last word of each line."""
    environment = {**fleet.server.environment, "QD_HTTP": http or fleet.http}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment.get('PATH', os.environ['PATH'])}"
    done = subprocess.run(
        ["bash", "-c", COMPLETE],
        env=environment,
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert not done.stderr
    return [sorted(line.split()) for line in done.stdout.splitlines()]


def test_bash_completes_verbs_options_and_names(fleet: Fleet) -> None:
    qd(fleet, "job", "start", "ping", "--all", "--id", "completed")
    qd(fleet, "job", "schedule", "add", "nightly", "ping", "--every", "1h", "--all")
    qd(fleet, "service", "apply", "-", "--all", stdin='[service.sleeper]\ncommand = ["sleep", "1000"]\n')
    lines = {
        "qd ver": ["version"],
        "qd node la": ["label"],
        "qd node ls --wa": ["--watch"],
        "qd completion .": ["bash", "fish", "zsh"],
        "qd node show .": ["one", "two"],
        "qd run --node .": ["one", "two"],
        "qd node label one site=north .": ["one", "two"],
        "qd run --role d": ["db"],
        "qd run --on role=d": ["role=db"],
        "qd job show comp": ["completed"],
        "qd job schedule rm .": ["nightly"],
        "qd service restart sl": ["sleeper"],
        "qd logs --service sl": ["sleeper"],
        "qd module deploy exe": ["execs"],
        "qd tail mess": ["messages"],
        "qd help nod": ["node"],
    }
    assert dict(zip(lines, completed(fleet, *lines), strict=True)) == lines


def test_bash_completes_no_names_when_the_server_is_away(fleet: Fleet) -> None:
    assert completed(fleet, "qd node show .", "qd node la", http="127.0.0.1:9") == [[], ["label"]]


def test_the_version_of_the_server_is_printed(fleet: Fleet) -> None:
    versions = json.loads(qd(fleet, "version", "-o", "json").stdout)
    assert versions == {
        "client": __version__,
        "server": __version__,
        "protocol": PROTOCOL_VERSION,
        "http": fleet.http,
    }


def test_a_name_that_nothing_has_is_exit_code_4_for_every_verb(fleet: Fleet) -> None:
    for verb in (
        ("node", "show", "nope"),
        ("run", "--node", "nope", "true"),
        ("run", "--role", "nope", "--", "true"),
        ("job", "start", "ping", "--node", "nope"),
        ("job", "show", "nope"),
        ("logs", "--node", "nope"),
        ("logs", "--job", "nope"),
        ("file", "push", "/etc/hostname", "/tmp/", "--node", "nope"),
        ("file", "push", "/nope", "/tmp/", "--node", "one"),
        ("service", "restart", "nope"),
        ("service", "apply", "/nope.toml"),
        ("module", "deploy", "nope", "--all"),
        ("tail", "nope"),
    ):
        refused = qd(fleet, *verb, fails=True)
        assert refused.returncode == 4, (verb, refused.stderr)
        assert refused.stderr.startswith("error: "), verb


def test_a_token_says_which_node_used_it(fleet: Fleet) -> None:
    assert "one" in qd(fleet, "token", "ls").stdout


def test_an_api_token_says_when_it_was_used(fleet: Fleet) -> None:
    made = json.loads(qd(fleet, "token", "api", "create", "reader", "-o", "json").stdout)
    id_ = made["info"]["id"]

    def used() -> str:
        listed = qd(fleet, "token", "api", "ls", "-o", "csv").stdout.splitlines()
        return next(line for line in listed if line.startswith(id_)).rpartition(",")[2]

    assert used() == ""
    qd(fleet, "node", "ls", token=made["token"])
    assert used() != ""


def test_what_was_created_is_named_for_other_verbs(fleet: Fleet) -> None:
    id_ = qd(fleet, "token", "create", "-o", "name").stdout.strip()
    assert qd(fleet, "token", "rm", id_).stdout == f"{id_} is revoked.\n"
    job = qd(fleet, "run", "--all", "--detach", "-o", "name", "--", "true").stdout.strip()
    assert json.loads(qd(fleet, "job", "show", job, "--follow", "--json").stdout)["id"] == job
    assert (
        qd(fleet, "job", "schedule", "add", "named", "ping", "--every", "1h", "--all", "-o", "name").stdout == "named\n"
    )


def test_apply_waits_for_the_services_and_kill_for_the_jobs(fleet: Fleet) -> None:
    good = '[service.waited]\ncommand = ["sleep", "1000"]\n[service.once]\ncommand = ["true"]\nmax_time = 0\n'
    applied = qd(fleet, "service", "apply", "-", "--all", "--wait", stdin=good)
    assert applied.stdout.count("RUNNING") == applied.stdout.count("STOPPED") == 2
    changed = qd(fleet, "service", "apply", "-", "--all", "--wait", stdin=good.replace("1000", "1001"))
    assert changed.stdout.count("RUNNING") == 2
    bad = '[service.bad]\ncommand = ["sh", "-c", "exit 3"]\nmax_restart = 0\n'
    refused = qd(fleet, "service", "apply", "-", "--node", "two", "--wait", stdin=bad, fails=True)
    assert refused.returncode == 1
    assert "Not running as applied: bad on two" in refused.stderr
    assert "exit code 3" in refused.stdout
    slow = '[service.slow]\ncommand = ["sleep", "1000"]\nhealth = { tcp = "127.0.0.1:1", start_period = 600 }\n'
    late = qd(fleet, "service", "apply", "-", "--node", "two", "--wait", "--timeout", "1s", stdin=slow, fails=True)
    assert late.returncode == 7
    assert "still on its way after 1s: slow on two" in late.stderr
    qd(fleet, "run", "--all", "--detach", "--id", "sleeps", "--", "sleep", "1000")
    killed = qd(fleet, "job", "kill", "sleeps", "--wait", "-o", "csv").stdout.splitlines()
    assert [line.split(",")[4] for line in killed] == ["state", "KILLED", "KILLED"]


def test_a_module_is_waited_for_when_it_is_deployed_and_undeployed(fleet: Fleet) -> None:
    assert "execs runs on 2 nodes" in qd(fleet, "module", "deploy", "execs", "--all", "--wait").stdout
    qd(fleet, "module", "undeploy", "execs", "--wait")
    assert qd(fleet, "module", "instances", "execs", "-o", "name").stdout == ""
    qd(fleet, "node", "sync", "one", "two", "--wait")
