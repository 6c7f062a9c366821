"""What agent and server say to each other: two tagged unions, msgpack by msgspec, checked when decoded.

`FromAgent` goes up, `ToAgent` comes down, over any wire. A message from a newer peer may carry keys this side does not
know (ignored) or be of a kind it does not know (`UnknownMessage`; the stream goes on). Any other bytes are a
`BadFrame`, which ends the stream. Nothing here does I/O.
"""

from __future__ import annotations

from typing import Any, TypeVar, get_args

import msgspec

from quarterdeck.model.desired import DesiredSet
from quarterdeck.model.errors import BadFrame
from quarterdeck.model.jobs import JobOffer, JobResult
from quarterdeck.model.losses import Loss
from quarterdeck.model.messages import MessagePage
from quarterdeck.model.modules import InstanceStats, InstanceStatus
from quarterdeck.model.nodes import Facts
from quarterdeck.model.services import ServiceStatus
from quarterdeck.model.struct import Wire

PROTOCOL_VERSION = 1

#: bytes of an artefact in one message
ARTEFACT_CHUNK_BYTES = 1024 * 1024
#: the largest message either side accepts
MESSAGE_LIMIT_BYTES = 64 * 1024 * 1024


# ── joining: unary, with a join token as the client's credential ─────────────────────────────────────────────────────
class JoinRequest(Wire, frozen=True, kw_only=True):
    """A new node asks for its identity. The private key of the CSR never leaves the node."""

    csr_pem: bytes
    name: str
    labels: dict[str, str] = {}
    facts: Facts = Facts()


class JoinReply(Wire, frozen=True, kw_only=True):
    """The identity: certificate, the CA to trust, and the ids that the certificate carries."""

    certificate_pem: bytes
    ca_pem: bytes
    agent_id: str
    gid: int
    nid: int


# ── control: up ──────────────────────────────────────────────────────────────────────────────────────────────────────
class Hello(Wire, frozen=True, kw_only=True, tag="hello"):
    """The first message of every connection. `labels` are the agent's own and win over the server's on the same key."""

    protocol: int
    facts: Facts
    labels: dict[str, str] = {}
    acted_revision: int = 0


class Heartbeat(Wire, frozen=True, kw_only=True, tag="heartbeat"):
    """I am alive. Answered by nothing."""

    sent_at: float  #: seconds since the epoch by the agent's clock


class FactsChanged(Wire, frozen=True, kw_only=True, tag="facts"):
    """The host is no longer as it was."""

    facts: Facts


class InstanceReport(Wire, frozen=True, kw_only=True, tag="instances"):
    """Every instance on this node, after a desired set was acted on or a state changed. Always all of them."""

    revision: int
    statuses: tuple[InstanceStatus, ...]


class ServiceReport(Wire, frozen=True, kw_only=True, tag="services"):
    """Every service on this node, after a desired set was acted on or a state changed. Always all of them."""

    revision: int
    statuses: tuple[ServiceStatus, ...]


class StatsReport(Wire, frozen=True, kw_only=True, tag="stats"):
    """What the instances have cost so far."""

    stats: tuple[InstanceStats, ...]


class WantArtefact(Wire, frozen=True, kw_only=True, tag="want"):
    """Send me the bytes of this hash, from this offset on."""

    sha256: str
    offset: int = 0


class FileOffer(Wire, frozen=True, kw_only=True, tag="file_offer"):
    """The job `job` is to send you these contents. Answered by `WantFile` or `FileStored`; again over each new link."""

    job: str
    sha256: str
    size: int
    name: str = ""  #: the file's path on the node


class FileChunk(Wire, frozen=True, kw_only=True, tag="file_chunk"):
    """The bytes that a `WantFile` asked for, at most `ARTEFACT_CHUNK_BYTES`. Answered as the offer is.

    Without bytes: I will not send it after all. That is not answered.
    """

    sha256: str
    offset: int
    data: bytes


class RenewCertificate(Wire, frozen=True, kw_only=True, tag="renew"):
    """My certificate nears its end; here is a CSR by a new key."""

    csr_pem: bytes


class JobsTaken(Wire, frozen=True, kw_only=True, tag="jobs_taken"):
    """I have these jobs on disk, and will have a result for each."""

    ids: tuple[str, ...]


class JobsStarted(Wire, frozen=True, kw_only=True, tag="jobs_started"):
    """These jobs began. Not repeated: it only tells people more."""

    ids: tuple[str, ...]


class JobResults(Wire, frozen=True, kw_only=True, tag="job_results"):
    """What came of jobs. Sent again over every connection until `ResultsStored` names them."""

    results: tuple[JobResult, ...]


class MessagesFound(Wire, frozen=True, kw_only=True, tag="messages_found"):
    """The one answer to an `AskMessages`: a page of at most 1 MiB or one message, or why there is none."""

    number: int
    page: MessagePage | None = None
    code: str = ""  #: an error code of model/errors where there is no page
    problem: str = ""  #: the same in words


FromAgent = (
    Hello
    | Heartbeat
    | FactsChanged
    | InstanceReport
    | ServiceReport
    | StatsReport
    | WantArtefact
    | FileOffer
    | FileChunk
    | RenewCertificate
    | JobsTaken
    | JobsStarted
    | JobResults
    | MessagesFound
)


# ── control: down ────────────────────────────────────────────────────────────────────────────────────────────────────
class Welcome(Wire, frozen=True, kw_only=True, tag="welcome"):
    """The answer to Hello. A `Desired` always follows."""

    gid: int
    nid: int
    heartbeat_s: float
    server_time: float  #: seconds since the epoch


class Desired(Wire, frozen=True, kw_only=True, tag="desired"):
    """All that you should be running."""

    desired: DesiredSet


class ArtefactChunk(Wire, frozen=True, kw_only=True, tag="artefact"):
    """Bytes of an artefact or a file; `size` is the whole. Empty `data` with size -1: the server has no such thing."""

    sha256: str
    offset: int
    size: int
    data: bytes
    problem: str = ""  #: why there is none, where more is known


class WantFile(Wire, frozen=True, kw_only=True, tag="want_file"):
    """Send me the bytes of what you offered, from this offset on."""

    sha256: str
    offset: int = 0


class FileStored(Wire, frozen=True, kw_only=True, tag="file_stored"):
    """What you offered is on disk here, or I will not have it: then `problem` says why."""

    sha256: str
    problem: str = ""


class NewCertificate(Wire, frozen=True, kw_only=True, tag="certificate"):
    """The renewed certificate, and the CA to trust from now on."""

    certificate_pem: bytes
    ca_pem: bytes


class Refused(Wire, frozen=True, kw_only=True, tag="refused"):
    """I will not talk to you, and why; `code` is an error code of model/errors. The connection ends after it."""

    code: str
    reason: str


class JobOffers(Wire, frozen=True, kw_only=True, tag="job_offers"):
    """Run these, once. After every Welcome: all that have no result yet; then each as it comes."""

    jobs: tuple[JobOffer, ...]


class ResultsStored(Wire, frozen=True, kw_only=True, tag="results_stored"):
    """These results are on disk here; forget them."""

    ids: tuple[str, ...]


class KillJobs(Wire, frozen=True, kw_only=True, tag="kill_jobs"):
    """End these jobs, whether they wait or run. Ids that are not known or over are passed over."""

    ids: tuple[str, ...]


class AskMessages(Wire, frozen=True, kw_only=True, tag="ask_messages"):
    """Which messages have you? Answered by one `MessagesFound` of this number, as soon as a message matches.

    `filter` is a `MessageFilter` as a map: a key that the agent does not know is answered in words.
    """

    number: int
    filter: dict[str, Any] = {}
    wait_s: float = 0.0  #: how long the answer may wait for a message; after it, it is an empty page


class StopAsking(Wire, frozen=True, kw_only=True, tag="stop_asking"):
    """Nobody waits for the answer to that `AskMessages` any more; do not send it."""

    number: int


ToAgent = (
    Welcome
    | Desired
    | ArtefactChunk
    | WantFile
    | FileStored
    | NewCertificate
    | Refused
    | JobOffers
    | ResultsStored
    | KillJobs
    | AskMessages
    | StopAsking
)


# ── telemetry ────────────────────────────────────────────────────────────────────────────────────────────────────────
class TelemetryBatch(Wire, frozen=True, kw_only=True):
    """Rows of one table, sent until acknowledged. (epoch, seq) is the batch id: a repeat is recognised and harmless.

    `epoch` is a random name of the outbox on that agent (new when its files were lost); `seq` grows by one a batch.
    `floor`: every batch below it was acknowledged, so the server may forget their ids.
    """

    epoch: str
    seq: int
    floor: int
    table: str
    fingerprint: str  #: of the Table the rows were made for
    rows: int
    body: bytes  #: zstd-compressed Arrow IPC stream
    module: str = ""
    losses: tuple[Loss, ...] = ()  #: losses noticed since the batch before; a batch may carry only these (rows = 0)


class TelemetryAck(Wire, frozen=True, kw_only=True):
    """The store has these batches on disk (or refused them for good: then the server counted them in `losses`)."""

    epoch: str
    seqs: tuple[int, ...]
    retry_after_s: float = 0.0  #: > 0: the store is full or away; wait before sending more


class UnknownMessage(BadFrame):
    """A message of a kind this side does not know: the peer is newer. It is passed over."""


class _AnyMessage(Wire, frozen=True, kw_only=True):
    type: str


_encoder = msgspec.msgpack.Encoder()
_from_agent: msgspec.msgpack.Decoder[FromAgent] = msgspec.msgpack.Decoder(FromAgent)
_to_agent: msgspec.msgpack.Decoder[ToAgent] = msgspec.msgpack.Decoder(ToAgent)
_any_message = msgspec.msgpack.Decoder(_AnyMessage)
_KINDS = {str(kind.__struct_config__.tag) for kind in (*get_args(FromAgent), *get_args(ToAgent))}
_join_request = msgspec.msgpack.Decoder(JoinRequest)
_join_reply = msgspec.msgpack.Decoder(JoinReply)
_telemetry_batch = msgspec.msgpack.Decoder(TelemetryBatch)
_telemetry_ack = msgspec.msgpack.Decoder(TelemetryAck)
_T = TypeVar("_T")


def encode(message: msgspec.Struct) -> bytes:
    """Any message as msgpack."""
    return _encoder.encode(message)


def _decode(decoder: msgspec.msgpack.Decoder[_T], frame: bytes, what: str) -> _T:
    if len(frame) > MESSAGE_LIMIT_BYTES:
        raise BadFrame(f"A {what} of {len(frame)} bytes is over the limit of {MESSAGE_LIMIT_BYTES}.")
    try:
        return decoder.decode(frame)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        kind = _kind(frame)
        if kind and kind not in _KINDS:
            raise UnknownMessage(f"Expected a {what}, found one of the unknown kind '{kind[:64]}'.") from error
        raise BadFrame(f"Expected a {what}, found {len(frame)} bytes that are not one: {error}.") from error


def _kind(frame: bytes) -> str:
    try:
        return _any_message.decode(frame).type
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return ""


def decode_from_agent(frame: bytes) -> FromAgent:
    """A control message from an agent, or `BadFrame`."""
    return _decode(_from_agent, frame, "message from an agent")


def decode_to_agent(frame: bytes) -> ToAgent:
    """A control message from the server, or `BadFrame`."""
    return _decode(_to_agent, frame, "message from the server")


def decode_join_request(frame: bytes) -> JoinRequest:
    """A request to join, or `BadFrame`."""
    return _decode(_join_request, frame, "join request")


def decode_join_reply(frame: bytes) -> JoinReply:
    """The answer to a request to join, or `BadFrame`."""
    return _decode(_join_reply, frame, "join reply")


def decode_telemetry_batch(frame: bytes) -> TelemetryBatch:
    """A batch from an agent, or `BadFrame`."""
    return _decode(_telemetry_batch, frame, "telemetry batch")


def decode_telemetry_ack(frame: bytes) -> TelemetryAck:
    """An acknowledgement from the server, or `BadFrame`."""
    return _decode(_telemetry_ack, frame, "telemetry acknowledgement")
