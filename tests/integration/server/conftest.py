"""A whole server in this process, over real stores and the real link, and a client of its API."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from quarterdeck.api.app import create_app
from quarterdeck.api.serve import HttpServer
from quarterdeck.client import AsyncClient, Endpoint
from quarterdeck.model.config import LinkConfig, ServerConfig
from quarterdeck.server.server import Server

MODULE = """
name = "counted"
[[table]]
name = "counted"
from = "events"
"""
PROGRAM = b"""
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
struct event { __u64 time; __u32 pid; };
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } events SEC(".maps");
SEC("tracepoint/syscalls/sys_enter_getpid") int count(void *context) {
    struct event *event = bpf_ringbuf_reserve(&events, sizeof *event, 0);
    if (event) { event->pid = bpf_get_current_pid_tgid() >> 32; bpf_ringbuf_submit(event, 0); }
    return 0;
}
char LICENSE[] SEC("license") = "GPL";
"""


@pytest.fixture
def config(tmp_path: Path) -> ServerConfig:
    modules = tmp_path / "modules" / "counted"
    modules.mkdir(parents=True)
    (modules / "module.toml").write_text(MODULE)
    (modules / "counted.bpf.c").write_bytes(PROGRAM)
    return ServerConfig(
        home=str(tmp_path / "home"), link=LinkConfig(address="127.0.0.1:0"), modules=str(modules.parent)
    )


@pytest.fixture
async def server(config: ServerConfig) -> AsyncGenerator[Server]:
    running = Server(config)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def client(server: Server, config: ServerConfig) -> AsyncGenerator[AsyncClient]:
    http = HttpServer(create_app(server), "127.0.0.1:0")
    await http.start()
    token = (Path(config.home) / "admin.token").read_text().strip()
    async with AsyncClient(Endpoint(url=f"http://{http.address}", token=token)) as opened:
        yield opened
    await http.stop()
