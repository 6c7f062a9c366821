"""Whether bytes are a transform, asked by the server before it accepts a module.

The guest is started and given an empty span, under the same limits as on an agent; nothing else is run.
"""

from __future__ import annotations

from quarterdeck.wasm.description import Description
from quarterdeck.wasm.engine import Engine
from quarterdeck.wasm.errors import InvalidGuest, InvalidOutput, TransformFailed
from quarterdeck.wasm.guest import Guest
from quarterdeck.wasm.instance import Limits


def check(wasm: bytes, *, engine: Engine | None = None, limits: Limits | None = None) -> Description:
    """What the guest says of itself; InvalidGuest says what was expected, what was found and what to do."""
    own = engine or Engine()
    try:
        guest = Guest(own, wasm, limits=limits)
        for layout in guest.description.input.layouts:
            output = guest.give(layout, 0, 0)
            if output.rows or output.consumed:
                raise InvalidOutput(
                    f"given no input, it returned {output.rows} rows and consumed {output.consumed} bytes"
                )
    except TransformFailed as failure:
        raise InvalidGuest(f"the guest fails before it has seen a record: {failure}") from failure
    finally:
        if engine is None:
            own.close()
    return guest.description
