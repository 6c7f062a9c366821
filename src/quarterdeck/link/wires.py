"""The wires that an agent can use, chosen by the address. Imports only the chosen one, to keep agents small."""

from __future__ import annotations

from quarterdeck.link.address import Carrier, parse_address
from quarterdeck.link.wire import AgentWire


def agent_wire(text: str) -> AgentWire:
    """Return the agent's end of the wire that the address names; raise `BadConfig` when it is no address."""
    address = parse_address(text)
    if address.carrier is Carrier.HTTPS:
        from quarterdeck.link.https.agent import HttpsAgentWire  # noqa: PLC0415

        return HttpsAgentWire(address)
    from quarterdeck.link.grpc.agent import GrpcAgentWire  # noqa: PLC0415

    return GrpcAgentWire(address.netloc)
