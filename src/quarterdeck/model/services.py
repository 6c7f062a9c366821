"""Services: programs that nodes keep running, as users declare them, as nodes receive them, and as the API shows them.

A service has the settings of every process (`ProcessSettings`) with other defaults: it runs, and is restarted, without
limit. This module also checks the order of services. It does no I/O.
"""

from __future__ import annotations

import functools
import graphlib
import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any, cast
from urllib.parse import urlsplit

import msgspec

from quarterdeck.model.durations import Seconds
from quarterdeck.model.errors import BadInput
from quarterdeck.model.nodes import Selector
from quarterdeck.model.processes import FOREVER, INTEGER_LIMIT, ProcessSettings, UsualSettings
from quarterdeck.model.struct import FEW, Name, Struct, Text, Wire, WireEnum
from quarterdeck.model.transitions import Transitions

#: name of the kind of these placements in desired sets and reports
SERVICE = "service"
#: a service without a health check counts as running after this time
ALIVE_S = 2.0
#: number of names in `after`
AFTER_LIMIT = 100

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
#: programs for which a `$` in an argument has a meaning of its own
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh", "fish", "busybox", "perl", "ruby"})
#: the former placeholders for folders in services
_FORMER = re.compile(r"(?:^|[=:,])\$(agentroot|root|tmp)(?=[/\\]|$)")
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^\[\]:/\s]+)):(\d{1,5})")


class ServiceState(WireEnum):
    """The state of a service on one node."""

    WAITING = "WAITING"  #: it waits for the services in `after`, or for its next recurring run
    STARTING = "STARTING"  #: it runs, and its health is not yet known
    RUNNING = "RUNNING"
    UNHEALTHY = "UNHEALTHY"  #: its health check failed too often; it is restarted by its rules
    BACKOFF = "BACKOFF"  #: it ended, and is restarted after a pause
    FAILED = "FAILED"  #: it ended too often, or cannot run on this node; it needs an operator
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"  #: it completed, or was ended on request


#: The agent derives the state from the current situation at intervals and after each start. Intermediate states can go
#: unreported, so any state may follow any other.
SERVICE_TRANSITIONS = Transitions("service", {state: frozenset(set(ServiceState) - {state}) for state in ServiceState})


class HealthCheck(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The health check of a service on its node: exactly one of `command`, `tcp` and `http`."""

    #: a program that exits with 0 when the service is healthy; it runs as the service does
    command: tuple[str, ...] = ()
    tcp: str = ""  #: host:port that accepts a connection
    http: str = ""  #: URL that answers a GET with `status`; the certificate of https is checked
    status: int = 200
    interval: Seconds = 10.0  #: seconds between checks
    timeout: Seconds = 5.0  #: seconds that one check may take
    failures: int = 3  #: number of consecutive failures that make it unhealthy
    #: seconds after its start in which failures do not count and checks are more frequent
    start_period: Seconds = 10.0

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
            raise BadInput("The status of a health check is that of http; found it without http.")
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
    """A program that nodes keep running. Its messages and stats are stored under `domain` and `name`."""

    name: str = ""
    command: tuple[str, ...]  #: program and arguments, without a shell; `{agent.root}` and `{agent.tmp}` are replaced
    after: tuple[str, ...] = ()  #: services on the same node that are ready before it starts, and end after it
    health: HealthCheck | None = None
    selector: Selector = msgspec.field(default_factory=Selector)  #: the nodes that run it
    max_time: Seconds = FOREVER  #: seconds; -1: without limit; 0: until it exits, and exit code 0 completes it
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
            raise BadInput(f"The service '{self.name}' contains a NUL byte, which cannot be passed to a program.")
        if any(not key or "=" in key for key in self.env):
            raise BadInput(f"A variable of env has a name without '='; the service '{self.name}' has another.")
        _check_numbers(self, f"The service '{self.name}'")
        super().__post_init__()
        self.complete(UsualSettings())

    @property
    def version(self) -> str:
        """Return a digest of the settings that a node receives. It is the same in every release."""
        return _digest(self, without=("selector",))

    @property
    def program(self) -> str:
        """Return a digest of the settings of its process. The process is restarted only when it changes."""
        return _digest(self, without=("selector", "after", "health"))


class DesiredService(Wire, frozen=True, kw_only=True):
    """A service that a node should run.

    The node decodes the settings when it needs them, so a setting that it does not know fails only this service.
    """

    name: Name
    version: Name
    settings: Annotated[dict[Name, Any], FEW]  #: fields of `Service` without name, selector and defaults

    @classmethod
    def of(cls, service: Service) -> DesiredService:
        """Return the service as it is sent to a node."""
        settings = {key: value for key, value in _non_default(service).items() if key not in ("name", "selector")}
        return cls(name=service.name, version=service.version, settings=settings)

    def read(self) -> Service:
        """Return the service. Raise `BadInput` when this release cannot decode it."""
        try:
            return msgspec.convert(self.settings | {"name": self.name}, Service)
        except msgspec.ValidationError as error:
            raise BadInput(
                f"This agent cannot run the service '{self.name}': {error}.",
                hint="Install the same release on the server and on the node.",
            ) from error


class ServiceStatus(Wire, frozen=True, kw_only=True):
    """An agent's report about one service. `revision` is that of the desired set on which the agent acted."""

    name: Name
    state: ServiceState
    revision: int
    version: Name = ""  #: version that runs
    reason: Text = ""  #: why it is not RUNNING
    pid: int | None = None
    restarts: int = 0  #: since it was last requested to start
    code: int | None = None  #: exit code of the previous run; -n when signal n ended it
    ended: Text = ""  #: how the previous run failed, if it did
    health: Text = ""  #: problem that the last check found, if any
    since: float = 0.0  #: seconds since the epoch of the last change of state


class ServiceOnNode(Struct, frozen=True, kw_only=True):
    """A service on one node: whether it is wanted, and its reported status."""

    name: str
    gid: int
    nid: int
    node_name: str
    wanted: bool = True  #: False: it is being removed, and its node has not yet confirmed that
    status: ServiceStatus


class ServiceInfo(Struct, frozen=True, kw_only=True):
    """A service as the server stores it."""

    service: Service
    version: str
    group: str = ""  #: group of the file with which it was applied
    actor: str = ""  #: name of the API token that changed it last
    create_time: float = 0.0  #: seconds since the epoch
    last_update_time: float = 0.0
    states: dict[ServiceState, int] = {}  #: number of nodes in each state
    reason: str = ""  #: reason from one of the nodes on which it is not healthy


class ServiceWithNodes(ServiceInfo, frozen=True, kw_only=True):
    """A service with its status on every node."""

    nodes: tuple[ServiceOnNode, ...] = ()


class Change(StrEnum):
    """The effect of applying a service."""

    ADDED = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REMOVED = "removed"


class ApplyServices(Struct, frozen=True, kw_only=True):
    """A request to create or change the services of a file. Applying the same file again changes nothing."""

    services: tuple[Service, ...]
    group: str = ""  #: the group that owns these services; a service belongs to one group
    prune: bool = False  #: remove the services of the group that are not named
    dry_run: bool = False  #: only report what would change


class ServiceChange(Struct, frozen=True, kw_only=True):
    """The effect of applying on one service, made or, in a dry run, predicted."""

    name: str
    change: Change
    fields: tuple[str, ...] = ()  #: for a changed service, the settings that differ
    nodes: int = 0  #: number of nodes that it now runs on


class AppliedServices(Struct, frozen=True, kw_only=True):
    """The result of applying services."""

    changes: tuple[ServiceChange, ...] = ()
    dry_run: bool = False
    notes: tuple[str, ...] = ()  #: settings that may not mean what was intended


class RestartService(Struct, frozen=True, kw_only=True):
    """A request to stop a service and start it again."""

    nodes: tuple[str, ...] = ()  #: only on these nodes, by name, nid or gid/nid; default: on all that run it


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of "host:port" or "[v6]:port". Raise `BadInput` for other text."""
    match = _ADDRESS.fullmatch(text)
    if match is None or not 0 < int(match[3]) < 65536:
        raise BadInput(f"{text[:300]!r} is not host:port.", hint='Write "127.0.0.1:5432", or "[::1]:5432".')
    return match[1] or match[2], int(match[3])


def check_order(services: Mapping[str, Service]) -> None:
    """Raise `BadInput` when a service comes after one that does not exist, or directly or indirectly after itself."""
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
    """Return the names of a circle, each of which comes after the next, with the first again at the end; else ()."""
    try:
        graphlib.TopologicalSorter(after).prepare()
    except graphlib.CycleError as error:
        _, *circle = reversed(cast("list[str]", error.args[1]))
        first = circle.index(min(circle))  # the same circle always gives the same message
        return (*circle[first:], *circle[:first], circle[first])
    return ()


def notes_on(service: Service) -> list[str]:
    """Return notes on settings that may not mean what was intended."""
    notes: list[str] = []
    texts: dict[str, tuple[str, ...]] = {f"env.{name}": (value,) for name, value in service.env.items()}
    for place, words in (("command", service.command), ("health", service.health.command if service.health else ())):
        if words and words[0].rpartition("/")[2] not in _SHELLS:
            texts[place] = words[1:]
    for place, words in texts.items():
        if found := next((match[1] for word in words if (match := _FORMER.search(word))), None):
            meant = {"agentroot": "{agent.root}", "tmp": "{agent.tmp}", "root": "/"}[found]
            notes.append(f"{service.name}: '${found}' in {place} is passed as it is. For the folder, write {meant}.")
    return notes


def differing(one: Service, other: Service) -> tuple[str, ...]:
    """Return the names of the settings in which two services differ."""
    return tuple(field for field in one.__struct_fields__ if getattr(one, field) != getattr(other, field))


def _check_numbers(struct: msgspec.Struct, what: str) -> None:
    """Raise `BadInput` for a number that JSON cannot express, or that does not fit in 64 bits."""
    for field in struct.__struct_fields__:
        value = getattr(struct, field)
        if isinstance(value, float) and not math.isfinite(value):
            raise BadInput(f"{what} has {field} = {value}, which is not a number of seconds or CPUs.")
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


def _non_default(struct: msgspec.Struct) -> dict[str, Any]:
    """Return the fields that differ from their defaults, whether the others were given or not."""
    found: dict[str, Any] = {}
    for name, default, factory in _defaults(type(struct)):
        value = getattr(struct, name)
        if value != (default if factory is None else factory()):
            found[name] = _non_default(value) if isinstance(value, msgspec.Struct) else value
    return found


@functools.cache
def _defaults(kind: type[msgspec.Struct]) -> tuple[tuple[str, Any, Callable[[], Any] | None], ...]:
    """Return each field with its default or default factory. The cache makes it a thousand times faster."""
    return tuple(
        (field.name, field.default, None if field.default_factory is msgspec.NODEFAULT else field.default_factory)
        for field in msgspec.structs.fields(kind)
    )


def _digest(service: Service, *, without: tuple[str, ...]) -> str:
    fields = {key: _with_floats(value) for key, value in _non_default(service).items() if key not in without}
    return hashlib.sha256(msgspec.json.encode(fields, order="sorted")).hexdigest()[:16]


def _with_floats(value: Any) -> Any:
    """Return `value` with all integers as floats, so that 1 and 1.0 give the same digest."""
    if isinstance(value, dict):
        return {key: _with_floats(each) for key, each in cast("dict[str, Any]", value).items()}
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
