"""A file of services that nobody vouches for is services or a clear error, never anything else."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.cli.service_file import parse_services
from quarterdeck.model.errors import BadInput
from quarterdeck.model.nodes import Selector
from quarterdeck.model.services import DesiredService

LINES = st.sampled_from(
    [
        "[service.web]",
        '[service."a b"]',
        "[service.web.health]",
        "[service.db]",
        "[[service.web]]",
        "[service]",
        'group = "shop"',
        "group = 1",
        'command = ["a", "b"]',
        "command = []",
        'command = "a"',
        'command = ["a\\u0000"]',
        'after = ["db", "web"]',
        "after = [[]]",
        "env = { A = '1' }",
        "env = { A = 1 }",
        "max_time = -1",
        "max_time = nan",
        "max_time = 99999999999999999999",
        "max_restart = 9999999999999999999999",
        "memory = '1e9'",
        "memory = 0",
        "cpus = inf",
        "grace = -inf",
        "loglevels = [1, 99]",
        "loglevels = true",
        'http = "http://[::1"',
        'http = "http://é"',
        'http = "http://a:b"',
        'tcp = "[::1]:80"',
        "tcp = ':1'",
        "status = 1.5",
        "interval = 1979-05-27",
        "failures = 1e400",
        "selector = { labels = { role = 'web' }, gid = 1 }",
        "selector = { nodes = 'one' }",
        "health = { command = ['true'], health = {} }",
        "name = 'x'",
        "'' = 1",
        'x."y z".\'w\' = """',
    ]
)


def read(content: bytes) -> None:
    try:
        found = parse_services(content, name="fuzz.toml", selector=Selector())
    except BadInput:
        return
    for service in found.services:
        told = DesiredService.of(service).read()
        assert told.version == service.version
        assert told.program == service.program


@settings(max_examples=400, deadline=None)
@given(st.lists(LINES, max_size=14))
def test_lines_in_any_order(lines: list[str]) -> None:
    read("\n".join(lines).encode())


@settings(max_examples=300, deadline=None)
@given(st.lists(LINES, max_size=6))
def test_lines_below_a_service(lines: list[str]) -> None:
    read("\n".join(["[service.web]", "command = ['a']", *lines]).encode())


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes(content: bytes) -> None:
    read(content)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_any_text_as_a_value(text: str) -> None:
    quoted = "".join(f"\\U{ord(c):08x}" for c in text if not 0xD800 <= ord(c) < 0xE000)
    for key in ("command = [{}]", "user = {}", "health = {{ tcp = {} }}", "health = {{ http = {} }}", "memory = {}"):
        read(f"[service.web]\ncommand = ['a']\n{key.format(chr(34) + quoted + chr(34))}".encode())
        read(f"[service.web]\n{key.format(chr(34) + quoted + chr(34))}".encode())
