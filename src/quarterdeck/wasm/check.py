"""The check that bytes are a transform, which the server makes before it accepts a module.

It starts the guest and passes it an empty span, under the same limits as on an agent, and runs nothing else.
"""

from __future__ import annotations

from quarterdeck.wasm.description import Description
from quarterdeck.wasm.engine import Engine
from quarterdeck.wasm.errors import InvalidGuest, InvalidOutput, TransformFailed
from quarterdeck.wasm.guest import Guest
from quarterdeck.wasm.instance import Limits


def check(wasm: bytes, *, engine: Engine | None = None, limits: Limits | None = None) -> Description:
    """Return the guest's description. Raise `InvalidGuest` with what was expected, what was found and what to do."""
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
        raise InvalidGuest(f"the guest fails before its first record: {failure}") from failure
    finally:
        if engine is None:
            own.close()
    return guest.description
