"""Services: programs that nodes keep running, as people declare them, as nodes get them, and as they are shown.

A service is told what every process is told (`ProcessSettings`), with other defaults: it runs for ever and is started
again without limit. What comes after what, and what is wrong with that, is decided here too; nothing here does I/O.
"""

from __future__ import annotations

import functools
import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec

from quarterdeck.model.errors import BadInput
from quarterdeck.model.nodes import Selector
from quarterdeck.model.processes import FOREVER, INTEGER_LIMIT, ProcessSettings, UsualSettings
from quarterdeck.model.struct import Struct, Wire
from quarterdeck.model.transitions import Transitions

#: a service without a health check is there when it has lived so long
ALIVE_S = 2.0
#: the health of a service, in characters, and the names it comes after
TEXT_LIMIT, AFTER_LIMIT = 2000, 100

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^\[\]:/\s]+)):(\d{1,5})")


class ServiceState(StrEnum):
    """What a service is doing on one node."""

    WAITING = "WAITING"  #: for those it comes after, or for its time to run again
    STARTING = "STARTING"  #: it runs, and is not yet known to be well
    RUNNING = "RUNNING"
    UNHEALTHY = "UNHEALTHY"  #: its health check failed too often; it is started again by its rules
    BACKOFF = "BACKOFF"  #: it ended, and is started again after a pause
    FAILED = "FAILED"  #: it ended too often, or may not run here; somebody has to look
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"  #: it ran to its end, or somebody ended it


_S = ServiceState
SERVICE_TRANSITIONS = Transitions(
    "service",
    {
        _S.WAITING: frozenset({_S.STARTING, _S.RUNNING, _S.FAILED, _S.STOPPING, _S.STOPPED}),
        _S.STARTING: frozenset(set(_S) - {_S.STARTING}),
        _S.RUNNING: frozenset(set(_S) - {_S.RUNNING}),
        _S.UNHEALTHY: frozenset(set(_S) - {_S.UNHEALTHY, _S.WAITING}),
        _S.BACKOFF: frozenset({_S.STARTING, _S.RUNNING, _S.FAILED, _S.STOPPING, _S.STOPPED}),
        _S.FAILED: frozenset({_S.WAITING, _S.STARTING, _S.RUNNING, _S.STOPPING, _S.STOPPED}),
        _S.STOPPING: frozenset({_S.WAITING, _S.STARTING, _S.RUNNING, _S.FAILED, _S.STOPPED}),
        _S.STOPPED: frozenset({_S.WAITING, _S.STARTING, _S.RUNNING, _S.FAILED, _S.STOPPING}),
    },
)


class HealthCheck(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a node finds out whether a service is well: exactly one of `command`, `tcp` and `http`."""

    command: tuple[str, ...] = ()  #: a program that ends with 0 when all is well; it runs as the service does
    tcp: str = ""  #: host:port that takes a connection
    http: str = ""  #: URL that answers a GET with `status`; of https the certificate is checked
    status: int = 200
    interval: float = 10.0  #: seconds between checks
    timeout: float = 5.0  #: seconds that one check may take
    failures: int = 3  #: so many in a row, and it is not well
    start_period: float = (
        10.0  #: seconds after its start in which failures do not count; until then it is often looked at
    )

    def __post_init__(self) -> None:
        forms = [name for name in ("command", "tcp", "http") if getattr(self, name)]
        if len(forms) != 1:
            found = " and ".join(forms) or "none"
            raise BadInput(f"A health check is one of command, tcp and http; found {found}.")
        if self.tcp:
            parse_address(self.tcp)
        if self.http:
            _check_url(self.http)
        if self.status != 200 and not self.http:
            raise BadInput("The status of a health check is that of http; found it without.")
        if not 100 <= self.status <= 599:
            raise BadInput(f"The status of a health check is 100 to 599, not {self.status}.")
        _check_numbers(self, "A health check")
        if not self.interval > 0 or not self.timeout > 0:
            raise BadInput("The interval and the timeout of a health check are seconds, more than 0.")
        if self.failures < 1:
            raise BadInput(f"The failures of a health check are 1 or more, not {self.failures}.")
        if not self.start_period >= 0:
            raise BadInput(f"The start_period of a health check is seconds, 0 or more, not {self.start_period:g}.")


class Service(ProcessSettings, frozen=True, kw_only=True, omit_defaults=True):
    """A program that nodes keep running. `domain` and `name` are what its messages and stats are filed under."""

    name: str = ""
    command: tuple[str, ...]  #: the program and its arguments, as they are: there is no shell
    after: tuple[str, ...] = ()  #: services that are there before it starts, and end after it, where they share a node
    health: HealthCheck | None = None
    selector: Selector = msgspec.field(default_factory=Selector)  #: the nodes that run it
    max_time: float = FOREVER  #: seconds; -1 for ever; 0: until it ends by itself, and with 0 it is done
    max_restart: int = FOREVER

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise BadInput(
                f"A service's name is 1 to 64 letters, digits, dots, dashes and underscores, a letter or digit first;"
                f" found {self.name[:100]!r}."
            )
        if not self.command or not self.command[0]:
            raise BadInput(f"The service '{self.name}' needs a command: the program, then its arguments.")
        if len(self.after) > AFTER_LIMIT:
            raise BadInput(f"A service comes after at most {AFTER_LIMIT} others; '{self.name}' has {len(self.after)}.")
        texts = [*self.command, *self.env, *self.env.values(), *(self.health.command if self.health else ())]
        if any("\0" in text for text in texts):
            raise BadInput(f"The service '{self.name}' holds a NUL byte, which no program can be given.")
        if any(not key or "=" in key for key in self.env):
            raise BadInput(f"A variable of env has a name without '='; the service '{self.name}' has another.")
        _check_numbers(self, f"The service '{self.name}'")
        super().__post_init__()
        self.complete(UsualSettings())

    @property
    def version(self) -> str:
        """Names what a node is told of it: the same for the same, on every node and in every release."""
        return _digest(self, without=("selector",))

    @property
    def program(self) -> str:
        """Names what its process is told. While this is the same, a change does not disturb the process."""
        return _digest(self, without=("selector", "after", "health"))


class DesiredService(Wire, frozen=True, kw_only=True):
    """A service that a node should run. Its settings are read there: one that a node does not know is its failure."""

    name: str
    version: str
    settings: dict[str, Any]  #: of `Service`, without its name and selector; defaults are left out

    @classmethod
    def of(cls, service: Service) -> DesiredService:
        """What a node is told of it."""
        settings = {key: value for key, value in _said(service).items() if key not in ("name", "selector")}
        return cls(name=service.name, version=service.version, settings=settings)

    def read(self) -> Service:
        """The service; `BadInput` when it is not one that this release knows."""
        try:
            return msgspec.convert(self.settings | {"name": self.name}, Service)
        except msgspec.ValidationError as error:
            raise BadInput(
                f"This agent cannot run the service '{self.name}': {error}.",
                hint="Install the same release on the server and on the node.",
            ) from error


class ServiceStatus(Wire, frozen=True, kw_only=True):
    """What an agent says of one service. `revision` is the desired set it acted on."""

    name: str
    state: ServiceState
    revision: int
    version: str = ""  #: of what runs
    reason: str = ""  #: in words, where it is not RUNNING
    pid: int | None = None
    restarts: int = 0  #: since it was last told to start
    code: int | None = None  #: of the run before; -n when signal n ended it
    health: str = ""  #: what the last check found, when it found something wrong
    since: float = 0.0  #: seconds since the epoch of the last change of state


class ServiceOnNode(Struct, frozen=True, kw_only=True):
    """A service on one node: what is wanted and what is."""

    name: str
    gid: int
    nid: int
    node_name: str
    wanted: bool = True  #: False: it is to go, and its node has not said yet that it is gone
    status: ServiceStatus


class ServiceInfo(Struct, frozen=True, kw_only=True):
    """A service as the server knows it."""

    service: Service
    version: str
    group: str = ""  #: of the file it was applied with
    actor: str = ""  #: name of the API token that changed it last
    create_time: float = 0.0  #: seconds since the epoch
    last_update_time: float = 0.0
    states: dict[ServiceState, int] = {}  #: on how many nodes it is in each state


class ServiceWithNodes(ServiceInfo, frozen=True, kw_only=True):
    """A service with what it does on every node."""

    nodes: tuple[ServiceOnNode, ...] = ()


class Change(StrEnum):
    """What applying does to a service."""

    ADDED = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REMOVED = "removed"


class ApplyServices(Struct, frozen=True, kw_only=True):
    """Make the services of a file what it says. The same again changes nothing."""

    services: tuple[Service, ...]
    group: str = ""  #: whose services these are; a service belongs to one group
    prune: bool = False  #: remove the services of the group that are not named
    dry_run: bool = False  #: say what would change, and change nothing


class ServiceChange(Struct, frozen=True, kw_only=True):
    """What applying did, or would do, to one service."""

    name: str
    change: Change
    fields: tuple[str, ...] = ()  #: of a changed one: which settings are others
    nodes: int = 0  #: that it runs on now


class AppliedServices(Struct, frozen=True, kw_only=True):
    """What applying did, or would do."""

    changes: tuple[ServiceChange, ...] = ()
    dry_run: bool = False


class RestartService(Struct, frozen=True, kw_only=True):
    """Stop a service and start it anew."""

    nodes: tuple[str, ...] = ()  #: on these nodes, by name, nid or gid/nid; none named: wherever it runs


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of "host:port" or "[v6]:port"; `BadInput` on anything else."""
    match = _ADDRESS.fullmatch(text)
    if match is None or not 0 < int(match[3]) < 65536:
        raise BadInput(f"{text[:300]!r} is not host:port.", hint='Write "127.0.0.1:5432", or "[::1]:5432".')
    return match[1] or match[2], int(match[3])


def check_order(services: Mapping[str, Service]) -> None:
    """`BadInput` when one comes after a service that is not there, or after itself by any way."""
    for service in services.values():
        for name in service.after:
            if name not in services:
                raise BadInput(
                    f"The service '{service.name}' comes after '{name}', and there is no service of that name.",
                    hint="Apply both, or take the name out of `after`.",
                )
    circle = find_circle({name: service.after for name, service in services.items()})
    if circle:
        way = " after ".join(f"'{name}'" for name in circle)
        raise BadInput(f"These services wait for one another: {way}.", hint="Take one of them out of an `after`.")


def find_circle(after: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Names each of which comes after the next, the first again at the end; none when there is no such circle."""
    done: set[str] = set()
    for start in sorted(after):
        way: list[str] = []
        rest = [iter((start,))]
        while rest:
            name = next(rest[-1], None)
            if name is None:
                rest.pop()
                if way:
                    done.add(way.pop())
            elif name in way:
                return (*way[way.index(name) :], name)
            elif name not in done and name in after:
                way.append(name)
                rest.append(iter(after[name]))
    return ()


def differing(one: Service, other: Service) -> tuple[str, ...]:
    """The settings in which two services differ."""
    return tuple(field for field in one.__struct_fields__ if getattr(one, field) != getattr(other, field))


def _check_numbers(struct: msgspec.Struct, what: str) -> None:
    """JSON has no other numbers, and no node can be told of one that takes more than 64 bits."""
    for field in struct.__struct_fields__:
        value = getattr(struct, field)
        if isinstance(value, float) and not math.isfinite(value):
            raise BadInput(f"{what} has {field} = {value}, which is no number of seconds or CPUs.")
        if isinstance(value, int) and not -INTEGER_LIMIT <= value < INTEGER_LIMIT:
            raise BadInput(f"{what} has a number of {value.bit_length()} bits for {field}; 63 is the most.")


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        sound = False
    if not sound or not url.isascii() or any(c <= " " for c in url) or "@" in urlsplit(url).netloc:
        raise BadInput(
            f"{url[:300]!r} is not a URL that a health check can ask.",
            hint='Write "http://127.0.0.1:8080/healthy"; no blanks, no user name.',
        )


def _said(struct: msgspec.Struct) -> dict[str, Any]:
    """What it says of itself: fields that are as by default, written or not, are left out."""
    said: dict[str, Any] = {}
    for name, default, factory in _defaults(type(struct)):
        value = getattr(struct, name)
        if value != (default if factory is None else factory()):
            said[name] = _said(value) if isinstance(value, msgspec.Struct) else value
    return said


@functools.cache
def _defaults(kind: type[msgspec.Struct]) -> tuple[tuple[str, Any, Callable[[], Any] | None], ...]:
    """Each field with its default, or with what makes it. Finding them out anew takes a thousand times longer."""
    return tuple(
        (field.name, field.default, None if field.default_factory is msgspec.NODEFAULT else field.default_factory)
        for field in msgspec.structs.fields(kind)
    )


def _digest(service: Service, *, without: tuple[str, ...]) -> str:
    said = {key: _alike(value) for key, value in _said(service).items() if key not in without}
    return hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest()[:16]


def _alike(value: Any) -> Any:
    """1 and 1.0 are the same to whoever wrote them, and to the node."""
    if isinstance(value, dict):
        return {key: _alike(each) for key, each in cast("dict[str, Any]", value).items()}
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
