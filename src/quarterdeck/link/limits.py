"""Size limits of the link's messages and their parts, where the structs in `model/` do not state them.

Both sides enforce them: a larger message from a peer is refused, and a sender splits its data into several messages.
It never applies a limit itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from msgspec import Meta

from quarterdeck.model.jobs import ID_LIMIT

#: bytes of an artefact in one message
ARTEFACT_CHUNK_BYTES = 1024 * 1024
#: the largest message that either side accepts; most kinds have a lower limit
MESSAGE_LIMIT_BYTES = 64 * 1024 * 1024
#: bytes of a message, unless its kind needs more
SMALL_BYTES = 1024 * 1024
#: jobs in one message
JOBS_LIMIT = 1000

JobIds = Annotated[tuple[Annotated[str, Meta(max_length=ID_LIMIT)], ...], Meta(max_length=JOBS_LIMIT)]
Pem = Annotated[bytes, Meta(max_length=256 * 1024)]
Chunk = Annotated[bytes, Meta(max_length=ARTEFACT_CHUNK_BYTES)]
Body = Annotated[bytes, Meta(max_length=MESSAGE_LIMIT_BYTES)]


def in_messages(ids: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield the ids of jobs in groups that each fit one message."""
    for begin in range(0, len(ids), JOBS_LIMIT):
        yield tuple(ids[begin : begin + JOBS_LIMIT])
