"""The transfer of files from a node to the server."""

from __future__ import annotations

from quarterdeck.link.limits import Chunk
from quarterdeck.model.struct import Name, Text, Wire


class FileOffer(Wire, frozen=True, kw_only=True, tag="file_offer"):
    """Announces contents that the job `job` sends. Answered by `WantFile` or `FileStored`; repeated over new links."""

    job: Name
    sha256: Name
    size: int
    name: Text = ""  #: the file's path on the node


class FileChunk(Wire, frozen=True, kw_only=True, tag="file_chunk"):
    """The bytes that a `WantFile` requested, at most `ARTEFACT_CHUNK_BYTES`. Answered as the offer is.

    Without bytes the agent withdraws its offer. That is not answered.
    """

    sha256: Name
    offset: int
    data: Chunk


class WantFile(Wire, frozen=True, kw_only=True, tag="want_file"):
    """Requests the bytes of an offered content, from this offset on."""

    sha256: Name
    offset: int = 0


class FileStored(Wire, frozen=True, kw_only=True, tag="file_stored"):
    """States that an offered content is on the server's disk, or is refused: then `problem` is the reason."""

    sha256: Name
    problem: Text = ""
