"""A file of services: what it says, and where it says something wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from quarterdeck.cli.service_file import FILE_LIMIT_BYTES, ServiceFile, parse_services, read_services
from quarterdeck.model.errors import BadInput, NotFound
from quarterdeck.model.nodes import Selector
from quarterdeck.model.services import HealthCheck, Service

ON_WEB = Selector(labels={"role": "web"})


def parse(text: str) -> ServiceFile:
    return parse_services(text.encode(), name="f.toml", selector=ON_WEB)


def test_a_file_is_read_in_its_order_and_the_selector_is_for_those_without(tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_text(
        """
        group = "shop"
        [service.web]
        command = ["web", "$tmp"]
        after = ["db"]
        memory = "512M"
        selector = { nodes = ["one"] }
        health = { http = "http://127.0.0.1/", failures = 2 }
        [service.db]
        command = ["db"]
        """
    )
    assert read_services(file, selector=ON_WEB) == ServiceFile(
        group="shop",
        services=(
            Service(
                name="web",
                command=("web", "$tmp"),
                after=("db",),
                memory="512M",
                selector=Selector(nodes=("one",)),
                health=HealthCheck(http="http://127.0.0.1/", failures=2),
            ),
            Service(name="db", command=("db",), selector=ON_WEB),
        ),
        without_selector=("db",),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "f.toml holds no service"),
        ("service = 1", "f.toml holds no service"),
        ("[service.web", "f.toml is not TOML"),
        ("[servic.web]", "key 'servic'.*Did you mean 'service'"),
        ("group = 1\n[service.a]\ncommand=['a']", "group is a text"),
        ("[service]\nweb = 1", r"\[service.web\] is a table"),
        ("[service.web]", r"\[service.web\] has no command"),
        ("[service.web]\ncommand = 'a b'", "There is no shell"),
        ("[service.web]\ncommand = ['a', 1]", r"\[service.web\]: command\[1\] is a text; found a whole number."),
        ("[service.web]\ncommand = ['a']\nname = 'b'", "take the key 'name' out"),
        ("[service.web]\ncommand = ['a']\nafterr = []", r"\[service.web\] has the key 'afterr'.*mean 'after'"),
        ("[service.web]\ncommand = ['a']\n[service.web.health]\ntpc = 'a:1'", r"\[service.web.health\].*'tpc'.*'tcp'"),
        ("[service.web]\ncommand = ['a']\nselector = { label = {} }", r"\[service.web.selector\].*'label'.*'labels'"),
        ("[service.web]\ncommand = ['a']\n[service.web.health]\ntcp = 'a'", r"\[service.web\]: 'a' is not host:port"),
        ("[service.web]\ncommand = ['a']\n[service.web.health]", r"\[service.web\]: A health check is one of"),
        ("[service.'a b']\ncommand = ['a']", "letters, digits"),
        ("[service.web]\ncommand = ['a']\ngrace = nan", r"\[service.web\].*grace = nan"),
        ("[service.web]\ncommand = ['a']\nmax_time = 2020-01-01", "max_time is a number; found date."),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse(text)
    assert re.search(words, str(caught.value)), caught.value


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="There is no file"):
        read_services(tmp_path / "none.toml", selector=ON_WEB)
    with pytest.raises(BadInput, match="cannot be read: Is a directory"):
        read_services(tmp_path, selector=ON_WEB)
    with pytest.raises(BadInput, match="is not TOML"):
        parse_services(b"\xff", name="f", selector=ON_WEB)
    with pytest.raises(BadInput, match="at most"):
        parse_services(b"#" * (FILE_LIMIT_BYTES + 1), name="f", selector=ON_WEB)


def test_a_file_without_services_ends_those_of_its_group_only_if_asked() -> None:
    with pytest.raises(BadInput, match="holds no service"):
        parse_services(b'group = "shop"', name="f.toml", selector=Selector())
    with pytest.raises(BadInput, match="holds no service"):
        parse_services(b"", name="f.toml", selector=Selector(), prune=True)
    found = parse_services(b'group = "shop"', name="f.toml", selector=Selector(), prune=True)
    assert (found.group, found.services) == ("shop", ())


def test_durations_are_numbers_of_seconds_or_texts_with_units() -> None:
    text = """
        [service.web]
        command = ["web"]
        max_time = "1h"
        recurring_period = "90s"
        grace = 3
        stats_interval = "1m"
        health = { tcp = "127.0.0.1:80", interval = "1s", timeout = "500ms", start_period = 2 }
        """
    (web,) = parse(text).services
    assert (web.max_time, web.recurring_period, web.grace, web.stats_interval) == (3600, 90, 3, 60)
    assert web.health == HealthCheck(tcp="127.0.0.1:80", interval=1, timeout=0.5, start_period=2)


@pytest.mark.parametrize("written", ['"1x"', '"1"', '""', '"-1s"'])
def test_a_wrong_duration_is_refused_with_its_place(written: str) -> None:
    expected = r"f\.toml: \[service\.web\]: health\.interval is a number of seconds, or a duration such as 500ms"
    with pytest.raises(BadInput, match=expected):
        parse(f'[service.web]\ncommand = ["web"]\nhealth = {{ tcp = "h:80", interval = {written} }}\n')
