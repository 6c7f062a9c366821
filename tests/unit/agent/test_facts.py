"""Facts of this host, checked against other ways to learn them."""

from __future__ import annotations

import os
import socket

from quarterdeck.agent.facts import gather_facts


def test_facts_are_this_hosts() -> None:
    facts = gather_facts(ebpf_reason="no BTF")
    assert facts.hostname == socket.gethostname()
    assert facts.kernel == os.uname().release
    assert facts.cpus == os.cpu_count()
    assert facts.memory_bytes == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert facts.os
    assert facts.boot_id
    assert not any(address.startswith("127.") or address == "::1" or "%" in address for address in facts.addresses)
    assert (facts.ebpf, facts.ebpf_reason) == (False, "no BTF")
    assert gather_facts().ebpf
