"""The settings of a service, its version, and the services it may come after."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.model.errors import BadInput
from quarterdeck.model.services import (
    SERVICE_TRANSITIONS,
    DesiredService,
    HealthCheck,
    Service,
    ServiceState,
    check_order,
    differing,
    find_circle,
    parse_address,
)

WEB = {"name": "web", "command": ["/bin/web", "-v"]}
NAMES = st.sampled_from(["a", "b", "c", "d", "e"])


def read(**more: Any) -> Service:
    return msgspec.json.decode(msgspec.json.encode(WEB | more), type=Service)


def test_it_runs_for_ever_and_is_started_again_without_limit() -> None:
    assert (read().max_time, read().max_restart, read().remembered) == (-1, -1, True)


def test_what_is_written_as_it_is_by_default_is_the_same_version() -> None:
    written = read(max_time=-1, max_restart=-1, grace=10, env={}, after=[], health=None, selector={})
    assert (written, written.version) == (read(), read().version)
    checked, explicit = read(health={"tcp": "h:1"}), read(health={"tcp": "h:1", "interval": 10, "status": 200})
    assert checked.version == explicit.version


def test_the_version_names_what_a_node_is_told_and_the_program_what_its_process_is() -> None:
    web = read(env={"B": "1", "A": "2"})
    assert read(env={"A": "2", "B": "1"}).version == web.version
    moved = read(env=web.env, selector={"labels": {"role": "web"}})
    assert (moved.version, moved.program) == (web.version, web.program)
    told: tuple[dict[str, Any], ...] = ({"after": ["db"]}, {"health": {"tcp": "127.0.0.1:80"}})
    for change in told:
        other = read(env=web.env, **change)
        assert other.version != web.version
        assert other.program == web.program
    new: tuple[dict[str, Any], ...]
    new = ({"env": {}}, {"grace": 3}, {"user": "www"}, {"command": ["/bin/web"]}, {"memory": "1G"})
    for change in new:
        assert read(**({"env": web.env} | change)).program != web.program


def test_a_version_does_not_change_with_the_release() -> None:
    """It is stored on the disks of nodes: a different one would restart every service."""
    golden = read(env={"A": "1"}, after=["db"], health={"http": "http://localhost/", "failures": 2}, grace=2.5, pids=10)
    assert (golden.version, golden.program) == ("743a0c5caec1d1e5", "ce8a06ad45bf33d7")


def test_whole_numbers_are_the_same_however_they_are_written() -> None:
    given = Service(name="web", command=("/bin/web", "-v"), grace=3, cpus=1, max_restart=2)
    assert given.version == read(grace=3.0, cpus=1.0, max_restart=2).version


def test_what_a_node_is_told_is_read_back() -> None:
    service = read(after=["db"], health={"command": ["/bin/true"]}, max_time=0, selector={"gid": 2})
    sent = msgspec.msgpack.decode(msgspec.msgpack.encode(DesiredService.of(service)), type=DesiredService)
    assert sent.read() == msgspec.structs.replace(service, selector=type(service.selector)())
    assert "selector" not in sent.settings
    newer = msgspec.structs.replace(sent, settings=sent.settings | {"colour": "red"})
    with pytest.raises(BadInput, match=r"'web'.*colour.*the same release"):
        newer.read()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": "a/b"}, "letters, digits"),
        ({"name": ""}, "letters, digits"),
        ({"name": "-a"}, "letters, digits"),
        ({"name": "a" * 65}, "letters, digits"),
        ({"command": []}, "needs a command"),
        ({"command": [""]}, "needs a command"),
        ({"command": ["a\0b"]}, "NUL"),
        ({"env": {"A": "\0"}}, "NUL"),
        ({"env": {"A=B": "1"}}, "without '='"),
        ({"max_time": -2}, "max_time"),
        ({"grace": -1}, "grace"),
        ({"loglevels": "x"}, "levels"),
        ({"memory": "much"}, "size"),
        ({"after": ["x"] * 101}, "at most 100"),
        ({"health": {}}, "found none"),
        ({"health": {"tcp": "a:1", "http": "http://a"}}, "tcp and http"),
        ({"health": {"tcp": "a"}}, "host:port"),
        ({"health": {"tcp": "a:70000"}}, "host:port"),
        ({"health": {"http": "ftp://a"}}, "not a URL"),
        ({"health": {"http": "http://u:p@a"}}, "not a URL"),
        ({"health": {"http": "http://a b"}}, "not a URL"),
        ({"health": {"http": "http://a:99999"}}, "not a URL"),
        ({"health": {"tcp": "a:1", "status": 204}}, "that of http"),
        ({"health": {"http": "http://a", "status": 20}}, "100 to 599"),
        ({"health": {"tcp": "a:1", "interval": 0}}, "more than 0"),
        ({"health": {"tcp": "a:1", "failures": 0}}, "1 or more"),
        ({"health": {"tcp": "a:1", "start_period": -1}}, "0 or more"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(given: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read(**given)


def test_numbers_are_finite() -> None:
    with pytest.raises(BadInput, match="not a number"):
        Service(name="a", command=("a",), grace=float("nan"))
    with pytest.raises(BadInput, match="not a number"):
        HealthCheck(tcp="a:1", interval=float("inf"))


@pytest.mark.parametrize(
    "given",
    [{"memory": 10**400}, {"pids": 1 << 64}, {"max_restart": 1 << 63}, {"health": {"tcp": "a:1", "failures": 1 << 64}}],
)
def test_what_no_node_can_be_told_of_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        read(**given)


def test_addresses_are_hosts_and_ports() -> None:
    assert parse_address("127.0.0.1:80") == ("127.0.0.1", 80)
    assert parse_address("[::1]:80") == ("::1", 80)
    assert parse_address("db.example:5432") == ("db.example", 5432)


def test_a_missing_name_and_a_circle_are_refused_in_words() -> None:
    def services(**after: tuple[str, ...]) -> dict[str, Service]:
        return {name: Service(name=name, command=("x",), after=names) for name, names in after.items()}

    check_order(services(db=(), web=("db",), proxy=("web", "db")))
    with pytest.raises(BadInput, match="'web' comes after 'db', and there is no"):
        check_order(services(web=("db",)))
    with pytest.raises(BadInput, match="'a' after 'b' after 'c' after 'a'"):
        check_order(services(a=("b",), b=("c",), c=("a",)))
    with pytest.raises(BadInput, match="'a' after 'a'"):
        check_order(services(a=("a",)))


@given(st.dictionaries(NAMES, st.lists(NAMES, max_size=3)))
def test_a_circle_is_found_exactly_when_no_order_is_possible(after: dict[str, list[str]]) -> None:
    left = {name: {other for other in names if other in after} for name, names in after.items()}
    while ready := [name for name, names in left.items() if not names]:
        left = {name: names - set(ready) for name, names in left.items() if name not in ready}
    circle = find_circle(after)
    assert bool(circle) == bool(left)
    for one, other in itertools.pairwise(circle):
        assert other in after[one]
    assert not circle or circle[0] == circle[-1]


def test_what_differs_is_named() -> None:
    assert differing(read(), read(grace=1, env={"A": "1"})) == ("env", "grace")


def test_any_state_may_be_read_after_any_other() -> None:
    for before, after in itertools.product(ServiceState, repeat=2):
        assert SERVICE_TRANSITIONS.check(before, after) is after
