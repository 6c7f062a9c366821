"""Events made = rows stored + rows in `losses`, to the event, from the kernel to SQL, for each way of losing one."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.model.losses import LossReason
from quarterdeck.model.queries import LostRows
from tests.counted import call, counted, deploy, outcome, program, settled
from tests.fleet import Fleet, eventually

BURSTS, EVENTS = 4, 5_000
#: each reason has a table of its own, named after it, which is made to lose rows for that reason
ON_THE_WAY = (
    LossReason.RING_FULL,
    LossReason.MAP_FULL,
    LossReason.THROTTLED,
    LossReason.TRAP,
    LossReason.TIME_LIMIT,
    LossReason.BAD_RECORD,
)
DECLARATIONS = """
RING(tiny, 4096); RING(throttled, 2 << 20); RING(trapping, 2 << 20); RING(looping, 2 << 20);
RING(shortened, 2 << 20);
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1000); __type(key, u64); __type(value, u64); }
    few SEC(".maps");
"""
BODY = """
    u64 key = seq, value = bpf_ktime_get_ns();
    bpf_map_update_elem(&few, &key, &value, BPF_ANY);
    send(&tiny, seq, 0); send(&throttled, seq, 0); send(&trapping, seq, 0); send(&looping, seq, 0);
    if (seq % 4) send(&shortened, seq, 0); else bpf_ringbuf_output(&shortened, &seq, sizeof(seq), 0);
"""
MANIFEST = """
name = "lossy"
[[table]]
name = "ring_full"
from = "tiny"
row = "event"
[[table]]
name = "map_full"
from = "few"
read = "drain"
interval = "200ms"
[table.columns.key]
name = "seq"
[[table]]
name = "throttled"
from = "throttled"
row = "event"
rate_limit = 1000
[[table]]
name = "trap"
from = "trapping"
row = "event"
transform = "trap.wasm.c"
[[table]]
name = "time_limit"
from = "looping"
row = "event"
transform = "loop.wasm.c"
[[table]]
name = "bad_record"
from = "shortened"
row = "event"
[[table]]
name = "made"
from = "made"
read = "snapshot"
interval = "100ms"
"""
TRANSFORM = """
#include <quarterdeck.h>
struct event { u64 ts; u64 seq; u32 salt[8]; };
QD_TABLE((timestamp_ns, time), (u64, seq))
QD_TRANSFORM(struct event, e)
{
    if (e->seq == 4321)
        FAIL;
    QD_ROW(.time = e->ts, .seq = e->seq);
}
"""


@pytest.fixture(scope="module")
def lossy(fleet: Fleet) -> Fleet:
    """A fleet whose module has lost rows in every way that the node knows."""
    fleet.join("one")
    files = {
        "module.toml": MANIFEST.encode(),
        "lossy.bpf.c": program(DECLARATIONS, BODY),
        "trap.wasm.c": TRANSFORM.replace("FAIL", "__builtin_trap()").encode(),
        "loop.wasm.c": TRANSFORM.replace("FAIL", "for (volatile u32 i = 0;; i++) { }").encode(),
    }
    deploy(fleet.client, files, "lossy")
    fleet.wait_running("lossy", "one")
    for burst in range(1, BURSTS + 1):
        call(EVENTS)
        for reason in ON_THE_WAY:
            settled(fleet.client, reason, burst * EVENTS)
    return fleet


@pytest.mark.parametrize("reason", ON_THE_WAY)
def test_what_is_not_a_row_is_a_loss_with_its_reason(lossy: Fleet, reason: LossReason) -> None:
    found = settled(lossy.client, reason, BURSTS * EVENTS)
    assert found.distinct == found.rows > 0
    assert found.lost[reason] > 0
    if reason is LossReason.BAD_RECORD:
        assert found.lost == {reason: BURSTS * EVENTS // 4}
    answer = lossy.client.queries.run(f"SELECT count() FROM {reason}").completeness
    assert not answer.complete
    assert set(answer.lost) == {LostRows(table=reason, reason=r, rows=n, nodes=1) for r, n in found.lost.items()}


def test_the_program_made_as_many_events_as_are_accounted_for(lossy: Fleet) -> None:
    lossy.wait_rows(f"SELECT 1 FROM made WHERE made = {BURSTS * EVENTS}")
    assert lossy.rows("SELECT max(made) FROM made") == [[BURSTS * EVENTS]]
    lossy.client.modules.undeploy("lossy")
    eventually(lambda: not lossy.instances("lossy"), "the module to end")
    for reason in ON_THE_WAY:
        assert outcome(lossy.client, reason).accounted == BURSTS * EVENTS, "what the end brought was counted twice"


# ── what waits on the node: the server is away, and each agent has a trouble of its own ─────────────────────────────
SMALL = {"QD_AGENT_OUTBOX__MEMORY_BYTES": "65536", "QD_AGENT_FLUSH_INTERVAL_S": "0.02"}
AGENTS = {
    "small": SMALL | {"QD_AGENT_OUTBOX__DISK_BYTES": "131072"},
    "brief": SMALL | {"QD_AGENT_OUTBOX__MAX_AGE_S": "1"},
    "damaged": SMALL,
}
REASONS = {"small": LossReason.QUEUE_FULL, "brief": LossReason.TOO_OLD, "damaged": LossReason.CORRUPT}


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Fleet]:
    """A server, and three agents with outboxes that hold little."""
    with Fleet(tmp_path) as fleet:
        for name, environment in AGENTS.items():
            fleet.join(name, environment=environment)
        yield fleet


def test_what_waits_for_a_server_that_is_away_arrives_or_is_counted(waiting: Fleet) -> None:
    fleet, state = waiting, waiting.server.home / "state.db"
    earlier = fleet.folder / "earlier.db"
    _backup(state, earlier)
    deploy(fleet.client, counted("calls"), "calls")
    fleet.wait_running("calls", *AGENTS)
    fleet.server.stop()
    made = call(400, bursts=50, pause_s=0.03)
    restarted = _rot(fleet)
    eventually(lambda: not _spilled(fleet, "brief"), "what is too old to be dropped")
    fleet.start_server()
    for name, reason in REASONS.items():
        found = settled(fleet.client, "calls", made, node=name)
        assert found.lost[reason] > 0, (name, found)
        assert found.distinct == found.rows
    _expect_completeness(fleet)

    # the state store is put back to before the module was made: nobody knows its table's schema any more
    eventually(lambda: fleet.instances("calls")["damaged"].status.since > restarted, "the module's second start")
    fleet.wait_running("calls", *AGENTS)
    fleet.server.stop()
    more = call(100)
    eventually(lambda: all(_spilled(fleet, name) for name in ("small", "damaged")), "the rows to be on disk")
    for file in (state, *state.parent.glob("state.db-*")):
        file.unlink()
    shutil.copy(earlier, state)
    fleet.start_server()
    for name in AGENTS:
        settled(fleet.client, "calls", made + more, node=name)
    assert outcome(fleet.client, "calls", node="damaged").lost[LossReason.REJECTED] == more
    _expect_completeness(fleet)


def _expect_completeness(fleet: Fleet) -> None:
    """The answer's completeness names every loss that the table has."""
    answer = fleet.client.queries.run("SELECT count() FROM calls").completeness
    assert not answer.complete
    assert {(lost.reason, lost.rows) for lost in answer.lost} == set(outcome(fleet.client, "calls").lost.items())


def _backup(database: Path, to: Path) -> None:
    with sqlite3.connect(database) as source, sqlite3.connect(to) as copy:
        source.backup(copy)
    source.close()
    copy.close()


def _spilled(fleet: Fleet, name: str) -> list[Path]:
    return sorted((fleet.folder / name / "agent" / "outbox").glob("*.spill"))


def _rot(fleet: Fleet) -> float:
    """Flip bytes of a spilled file while its agent is stopped; the time of the agent's restart."""
    agent = fleet.agents["damaged"]
    agent.stop()
    file = _spilled(fleet, "damaged")[0]
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(byte ^ 0xFF for byte in content[middle : middle + 64])
    file.write_bytes(content)
    restarted = time.time()
    agent.start()
    return restarted
