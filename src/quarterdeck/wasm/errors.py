"""All errors of this package, as one tree.

    WasmError
    ├── CompileFailed        the C source of a guest does not compile (build)
    ├── GuestMissing         a built-in guest was not compiled
    ├── InvalidGuest         these bytes are not a transform
    │   └── RecordMismatch   a transform for other records than the host's
    ├── InvalidSetting       no such setting, or not a value for it
    └── TransformFailed      one chunk of a span was lost; the next may be run
        ├── Trapped          the guest did something invalid
        ├── TimedOut         it did not return in time
        ├── OutOfMemory      it needs more memory than its limit
        └── InvalidOutput    its result is not valid

The messages state what was expected, what was found, and what to do next.
"""

from __future__ import annotations


class WasmError(Exception):
    """A WebAssembly guest cannot be used."""


class CompileFailed(WasmError):
    """The source of a guest does not compile. The message is the compiler's output."""


class GuestMissing(WasmError):
    """A built-in guest was not compiled."""


class InvalidGuest(WasmError):
    """These bytes are not a transform that this host can run."""


class RecordMismatch(InvalidGuest):
    """The transform was written for records of another shape than those of the host."""


class InvalidSetting(WasmError):
    """The transform has no such setting, or the value is not valid for it."""


class TransformFailed(WasmError):
    """A call failed. Its chunk is lost; the next call uses a new instance.

    `consumed` is the number of bytes of the failed chunk in the span, `records` the number of records in them, and
    `lost` the number of further records that the kernel reported there as dropped. The caller skips `consumed` bytes
    and counts the others as lost.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.consumed = 0
        self.records = 0
        self.lost = 0


class Trapped(TransformFailed):
    """The guest trapped: it read or wrote outside its memory, divided by zero, reached `unreachable` …"""


class TimedOut(TransformFailed):
    """The guest did not return within its time limit."""


class OutOfMemory(TransformFailed):
    """The guest needs more memory than its limit."""


class InvalidOutput(TransformFailed):
    """The guest returned an invalid result: addresses outside its memory, decreasing offsets or similar."""
