"""Every request of the API as a value: method, path, body and the type of the answer.

The sync and the async client send the same calls, so that what an operation is stands in one place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec

from quarterdeck.model.audit import AuditEntry
from quarterdeck.model.errors import Problem, QuarterdeckError, Unavailable, from_problem
from quarterdeck.model.files import FileStatus, StoredFile, Transfer
from quarterdeck.model.jobs import Command, CommandWithJobs, CreateCommand, Job, JobState, KillCommand
from quarterdeck.model.manifests import SettingValue
from quarterdeck.model.messages import FoundMessages, MessageFilter
from quarterdeck.model.modules import CreateModule, DeployModule, Instance, Module
from quarterdeck.model.nodes import AgentRecord, Node, Selector
from quarterdeck.model.queries import Answer, Query, QueryFormat, QueryParameter, TableInfo
from quarterdeck.model.schedules import ChangeSchedule, CreateSchedule, Schedule
from quarterdeck.model.server import ServerInfo
from quarterdeck.model.services import AppliedServices, ApplyServices, RestartService, ServiceInfo, ServiceWithNodes
from quarterdeck.model.tokens import (
    ApiToken,
    CreateApiToken,
    CreateJoinToken,
    JoinToken,
    NewApiToken,
    NewJoinToken,
    Role,
)

T = TypeVar("T")
PREFIX = "/api/v1"


class Call(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One request. `returns` is the type of the JSON answer; `bytes` gives the body as it is, `None` ignores it."""

    method: str
    path: str
    returns: Any
    body: bytes = b""
    query: dict[str, str | tuple[str, ...]] = {}
    timeout_s: float = 60.0
    content_type: str = "application/json"

    def headers(self, token: str) -> dict[str, str]:
        """The request's headers, the token among them."""
        return {"Authorization": f"Bearer {token}", "Content-Type": self.content_type}

    def answer(self, status: int, body: bytes) -> T:
        """The decoded answer, or the error that the problem document stands for."""
        if status >= 400:
            raise failure(status, body)
        if self.returns is None:
            return None  # type: ignore[return-value]
        return body if self.returns is bytes else msgspec.json.decode(body, type=self.returns)  # type: ignore[return-value]


def failure(status: int, body: bytes) -> QuarterdeckError:
    """The error in an answer; a body that is no problem document (a proxy's page) is quoted."""
    try:
        return from_problem(msgspec.json.decode(body, type=Problem))
    except msgspec.MsgspecError:
        return Unavailable(f"The server answered HTTP {status}: {body[:200].decode(errors='replace')}")


def unreachable(url: str, error: Exception) -> Unavailable:
    """The error for a server that does not answer."""
    return Unavailable(
        f"No server answers at {url}: {str(error).rstrip('.')}.",
        hint="Start one with `qd up`, or say where it is with QD_HTTP.",
    )


def _get(path: str, returns: Any, **query: str | None) -> Call[Any]:
    return Call(method="GET", path=PREFIX + path, returns=returns, query={**_given(**query)})


def _given(**query: str | None) -> dict[str, str]:
    return {key: value for key, value in query.items() if value is not None}


def _number(value: int | None) -> str | None:
    return None if value is None else str(value)


def _send(method: str, path: str, returns: Any, body: object = None, *, timeout_s: float = 60.0) -> Call[Any]:
    data = b"" if body is None else msgspec.json.encode(body)
    return Call(method=method, path=PREFIX + path, returns=returns, body=data, timeout_s=timeout_s)


def segment(name: str) -> str:
    """A name as one part of a path, whatever is in it."""
    return quote(name, safe="")


# ── server ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def server_info() -> Call[ServerInfo]:
    """Version and addresses of the server."""
    return _get("/server", ServerInfo)


def list_audit(*, limit: int = 100) -> Call[list[AuditEntry]]:
    """Who changed what, newest first."""
    return _get("/audit", list[AuditEntry], limit=str(limit))


# ── nodes ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def list_nodes(selector: Selector) -> Call[list[Node]]:
    """The nodes a selector means; the empty one means all."""
    return _send("POST", "/nodes/select", list[Node], selector)


def show_node(node: str) -> Call[Node]:
    """One node by name, nid or gid/nid."""
    return _get(f"/nodes/{segment(node)}", Node)


def label_node(node: str, labels: Mapping[str, str | None]) -> Call[Node]:
    """Sets labels; None removes one."""
    return _send("PATCH", f"/nodes/{segment(node)}/labels", Node, dict(labels))


def remove_node(node: str) -> Call[None]:
    """Ends a node: its agent is TERMINATED and its certificate revoked."""
    return _send("DELETE", f"/nodes/{segment(node)}", None)


def list_agents() -> Call[list[AgentRecord]]:
    """All agents, TERMINATED ones too."""
    return _get("/agents", list[AgentRecord])


# ── tokens ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def create_join_token(request: CreateJoinToken) -> Call[NewJoinToken]:
    """A one-time token for a new node."""
    return _send("POST", "/tokens/join", NewJoinToken, request)


def list_join_tokens() -> Call[list[JoinToken]]:
    """Join tokens, used ones too."""
    return _get("/tokens/join", list[JoinToken])


def revoke_join_token(token_id: str) -> Call[None]:
    """Makes an unused join token worthless."""
    return _send("DELETE", f"/tokens/join/{segment(token_id)}", None)


def create_api_token(name: str, role: Role, *, expires_s: float | None = None) -> Call[NewApiToken]:
    """A bearer token with a role."""
    return _send("POST", "/tokens/api", NewApiToken, CreateApiToken(name=name, role=role, expires_s=expires_s))


def list_api_tokens() -> Call[list[ApiToken]]:
    """API tokens, without their secrets."""
    return _get("/tokens/api", list[ApiToken])


def revoke_api_token(token_id: str) -> Call[None]:
    """Ends an API token at once."""
    return _send("DELETE", f"/tokens/api/{segment(token_id)}", None)


# ── modules ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def create_module(files: Mapping[str, bytes], *, replace: bool = False) -> Call[Module]:
    """Compiles and checks a module's folder; `replace` makes it a new version of one that exists."""
    return _send("POST", "/modules", Module, CreateModule(files=dict(files), replace=replace), timeout_s=300.0)


def list_modules() -> Call[list[Module]]:
    """All modules, the built-in ones too."""
    return _get("/modules", list[Module])


def show_module(module: str) -> Call[Module]:
    """One module by name or id."""
    return _get(f"/modules/{segment(module)}", Module)


def deploy_module(module: str, selector: Selector, settings: Mapping[str, SettingValue]) -> Call[Module]:
    """Runs a module on the nodes that match, now and whenever one joins later."""
    body = DeployModule(selector=selector, settings=dict(settings))
    return _send("POST", f"/modules/{segment(module)}/deploy", Module, body)


def undeploy_module(module: str) -> Call[Module]:
    """Stops a module everywhere. Its rows stay."""
    return _send("POST", f"/modules/{segment(module)}/undeploy", Module)


def delete_module(module: str) -> Call[None]:
    """Forgets a module that is not deployed. Its rows stay until their retention ends."""
    return _send("DELETE", f"/modules/{segment(module)}", None)


def list_instances(module: str | None = None) -> Call[list[Instance]]:
    """Every instance with its wanted and actual state, of one module or of all."""
    return _get("/instances", list[Instance], module=module)


# ── commands and jobs ───────────────────────────────────────────────────────────────────────────────────────────────
def create_command(request: CreateCommand, *, wait_s: float = 0.0) -> Call[CommandWithJobs]:
    """Asks nodes to do something, once. Durable before the answer; with `wait_s` that has the results, if in time."""
    call = _send("POST", "/commands", CommandWithJobs, request, timeout_s=60.0 + max(0.0, wait_s))
    return msgspec.structs.replace(call, query={"wait_s": f"{wait_s:g}"}) if wait_s else call


def list_commands(*, limit: int = 100) -> Call[list[Command]]:
    """What was asked of nodes, newest first."""
    return _get("/commands", list[Command], limit=str(limit))


def show_command(command_id: str) -> Call[CommandWithJobs]:
    """One command with what became of it on every node."""
    return _get(f"/commands/{segment(command_id)}", CommandWithJobs)


def kill_command(command_id: str, nodes: Sequence[str] = ()) -> Call[CommandWithJobs]:
    """Ends the jobs of a command that have no result yet, on these nodes or on all."""
    return _send("POST", f"/commands/{segment(command_id)}/kill", CommandWithJobs, KillCommand(nodes=tuple(nodes)))


def rerun_command(command_id: str) -> Call[CommandWithJobs]:
    """A new command: the same, on the nodes of the old one's jobs."""
    return _send("POST", f"/commands/{segment(command_id)}/rerun", CommandWithJobs)


def list_jobs(*, node: str | None = None, state: JobState | None = None, limit: int = 100) -> Call[list[Job]]:
    """Jobs, newest first, of one node or in one state or all."""
    return _get("/jobs", list[Job], node=node, state=state, limit=str(limit))


# ── messages ────────────────────────────────────────────────────────────────────────────────────────────────────────
def list_messages(wanted: MessageFilter, selector: Selector, *, cursor: str = "") -> Call[FoundMessages]:
    """What processes printed, on the nodes and forwarded; `cursor` is that of the page before."""
    query = message_query(wanted, selector) | _given(limit=str(wanted.limit), cursor=cursor)
    if wanted.newest_first:
        query["newest"] = "true"
    return Call(method="GET", path=f"{PREFIX}/messages", returns=FoundMessages, query=query)


def message_query(wanted: MessageFilter, selector: Selector) -> dict[str, str | tuple[str, ...]]:
    """The filters of messages as query parameters."""
    levels = wanted.levels if isinstance(wanted.levels, str | int) else ",".join(map(str, wanted.levels))
    query: dict[str, str | tuple[str, ...]] = {}
    query |= _given(job=wanted.job_id, domain=wanted.domain, name=wanted.name, level=str(levels))
    query |= _given(text=wanted.text or None, since=_number(wanted.time_from), until=_number(wanted.time_to))
    query |= _given(gid=_number(selector.gid))
    if selector.nodes:
        query["node"] = selector.nodes
    if selector.labels:
        query["on"] = tuple(f"{key}={value}" for key, value in selector.labels.items())
    return query


# ── schedules ───────────────────────────────────────────────────────────────────────────────────────────────────────
def create_schedule(request: CreateSchedule) -> Call[Schedule]:
    """Asks for a command again and again."""
    return _send("POST", "/schedules", Schedule, request)


def list_schedules() -> Call[list[Schedule]]:
    """Every schedule: when it is due, and what came of it last."""
    return _get("/schedules", list[Schedule])


def enable_schedule(name: str, *, enabled: bool) -> Call[Schedule]:
    """Enables or disables a schedule."""
    return _send("PATCH", f"/schedules/{segment(name)}", Schedule, ChangeSchedule(enabled=enabled))


def delete_schedule(name: str) -> Call[None]:
    """Forgets a schedule. What it asked for goes on."""
    return _send("DELETE", f"/schedules/{segment(name)}", None)


# ── services ────────────────────────────────────────────────────────────────────────────────────────────────────────
def apply_services(request: ApplyServices) -> Call[AppliedServices]:
    """Makes services what the request says, all of them or none."""
    return _send("PUT", "/services", AppliedServices, request)


def list_services() -> Call[list[ServiceInfo]]:
    """Every service, with how many nodes are in each state."""
    return _get("/services", list[ServiceInfo])


def show_service(service: str) -> Call[ServiceWithNodes]:
    """One service with what it does on every node."""
    return _get(f"/services/{segment(service)}", ServiceWithNodes)


def remove_service(service: str) -> Call[None]:
    """Ends a service everywhere."""
    return _send("DELETE", f"/services/{segment(service)}", None)


def restart_service(service: str, nodes: Sequence[str] = ()) -> Call[CommandWithJobs]:
    """Stops a service and starts it anew, where it runs or on these nodes."""
    body = RestartService(nodes=tuple(nodes))
    return _send("POST", f"/services/{segment(service)}/restart", CommandWithJobs, body)


# ── files ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def file_status(sha256: str) -> Call[FileStatus]:
    """How much of a content the server has."""
    return _get(f"/files/{segment(sha256)}/status", FileStatus)


def upload_file(sha256: str, *, offset: int, size: int, name: str) -> Call[FileStatus]:
    """Sends a content from `offset` on; the body comes beside this."""
    return Call(
        method="PUT",
        path=f"{PREFIX}/files/{segment(sha256)}",
        returns=FileStatus,
        query={"offset": str(offset), "size": str(size), "name": name},
        content_type="application/octet-stream",
    )


def list_files() -> Call[list[StoredFile]]:
    """The contents that the server keeps, that last used first."""
    return _get("/files", list[StoredFile])


def list_transfers() -> Call[list[Transfer]]:
    """How far files are on their way to nodes and from them."""
    return _get("/transfers", list[Transfer])


def delete_file(sha256: str) -> Call[None]:
    """Removes a content from the server."""
    return _send("DELETE", f"/files/{segment(sha256)}", None)


# ── tables ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def list_tables() -> Call[list[TableInfo]]:
    """Every table with its size and age."""
    return _get("/tables", list[TableInfo])


def query(
    sql: str,
    parameters: Mapping[str, QueryParameter],
    *,
    max_rows: int = 10_000,
    timeout_s: float = 30.0,
    format: QueryFormat = QueryFormat.JSON,
) -> Call[Any]:
    """SQL over the tables. JSON decodes to `Answer`; csv and arrow come as bytes."""
    body = Query(sql=sql, parameters=dict(parameters), max_rows=max_rows, timeout_s=timeout_s, format=format)
    returns = Answer if format is QueryFormat.JSON else bytes
    return _send("POST", "/query", returns, body, timeout_s=timeout_s + 10.0)
