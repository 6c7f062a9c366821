"""The transfer of artefacts and files that a desired set or a job names to a node."""

from __future__ import annotations

from quarterdeck.link.limits import Chunk
from quarterdeck.model.struct import Name, Text, Wire


class WantArtefact(Wire, frozen=True, kw_only=True, tag="want"):
    """Requests the bytes of this hash, from this offset on."""

    sha256: Name
    offset: int = 0


class ArtefactChunk(Wire, frozen=True, kw_only=True, tag="artefact"):
    """Bytes of an artefact or a file; `size` is the whole. Empty `data` with size -1: the server does not have it."""

    sha256: Name
    offset: int
    size: int
    data: Chunk
    problem: Text = ""  #: why the server does not have it, where more is known
