"""Everything this floor can raise, as one tree.

    WasmError
    ├── CompileFailed        the C of a guest is wrong (build)
    ├── GuestMissing         a built-in guest was not compiled
    ├── InvalidGuest         these bytes are not a transform
    │   └── RecordMismatch   a transform, but for other records than the host's
    ├── InvalidSetting       no such setting, or not a value for it
    └── TransformFailed      one chunk of a span was lost; the next may be run
        ├── Trapped          the guest did something it must not
        ├── TimedOut         it did not return in time
        ├── OutOfMemory      it may not have the memory it needs
        └── InvalidOutput    its result is not a result

It owns no behaviour; the messages say what was expected, what was found, and what to do next.
"""

from __future__ import annotations


class WasmError(Exception):
    """A WebAssembly guest cannot be used."""


class CompileFailed(WasmError):
    """The source of a guest does not compile; the message is the compiler's."""


class GuestMissing(WasmError):
    """A guest that comes with Quarterdeck was not compiled."""


class InvalidGuest(WasmError):
    """These bytes are not a transform that this host can run."""


class RecordMismatch(InvalidGuest):
    """The transform was written for records of another shape than those it would get."""


class InvalidSetting(WasmError):
    """The transform has no such setting, or the value does not fit it."""


class TransformFailed(WasmError):
    """A call failed. The chunk it was given is lost; the next call has a fresh instance.

    `consumed` is how many bytes of the span the failed chunk has, `records` how many records are in them, and `lost`
    how many more the kernel said in it that it had dropped: skip the first, count the others as lost.
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
    """The guest returned, but what it returned is not a result: addresses outside its memory, offsets that go back …"""
