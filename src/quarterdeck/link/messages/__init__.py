"""The messages of agent and server, one file per noun, and their two unions: `FromAgent` (up), `ToAgent` (down).

They are the same over every wire. `link/frames.py` encodes and decodes them.
"""

from quarterdeck.link.messages.artefacts import ArtefactChunk, WantArtefact
from quarterdeck.link.messages.certificates import NewCertificate, RenewCertificate
from quarterdeck.link.messages.desired import Desired
from quarterdeck.link.messages.facts import FactsChanged
from quarterdeck.link.messages.files import FileChunk, FileOffer, FileStored, WantFile
from quarterdeck.link.messages.instances import StatsReport
from quarterdeck.link.messages.jobs import JobOffers, JobResults, JobsStarted, JobsTaken, KillJobs, ResultsStored
from quarterdeck.link.messages.joining import JoinReply, JoinRequest
from quarterdeck.link.messages.messages import AskMessages, MessagesFound, StopAsking
from quarterdeck.link.messages.placements import PlacementReport
from quarterdeck.link.messages.sessions import PROTOCOL_VERSION, Heartbeat, Hello, Refused, Welcome
from quarterdeck.link.messages.telemetry import TelemetryAck, TelemetryBatch

FromAgent = (
    Hello
    | Heartbeat
    | FactsChanged
    | PlacementReport
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

__all__ = [
    "PROTOCOL_VERSION",
    "ArtefactChunk",
    "AskMessages",
    "Desired",
    "FactsChanged",
    "FileChunk",
    "FileOffer",
    "FileStored",
    "FromAgent",
    "Heartbeat",
    "Hello",
    "JobOffers",
    "JobResults",
    "JobsStarted",
    "JobsTaken",
    "JoinReply",
    "JoinRequest",
    "KillJobs",
    "MessagesFound",
    "NewCertificate",
    "PlacementReport",
    "Refused",
    "RenewCertificate",
    "ResultsStored",
    "StatsReport",
    "StopAsking",
    "TelemetryAck",
    "TelemetryBatch",
    "ToAgent",
    "WantArtefact",
    "WantFile",
    "Welcome",
]
