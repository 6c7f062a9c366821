"""The async client. Each method sends one call of `calls`; a failed call raises the error the server meant."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import httpx

from quarterdeck.client import calls, events, transfers
from quarterdeck.client.calls import Call
from quarterdeck.client.endpoint import Endpoint
from quarterdeck.client.events import Stream
from quarterdeck.client.transfers import Download, Measured, Patience, Progress
from quarterdeck.model.audit import AuditEntry
from quarterdeck.model.errors import NotFound, QuarterdeckError, TimedOut
from quarterdeck.model.files import FileStatus, StoredFile, Transfer
from quarterdeck.model.jobs import Command, CommandWithJobs, CreateCommand, Job, JobState
from quarterdeck.model.manifests import SettingValue
from quarterdeck.model.messages import FoundMessages, MessageFilter
from quarterdeck.model.modules import Instance, Module
from quarterdeck.model.nodes import AgentRecord, Node, Selector
from quarterdeck.model.output import NodeMessages
from quarterdeck.model.queries import Answer, QueryFormat, QueryParameter, TableInfo, TailRows
from quarterdeck.model.schedules import CreateSchedule, Schedule
from quarterdeck.model.server import ServerInfo
from quarterdeck.model.services import AppliedServices, ApplyServices, ServiceInfo, ServiceWithNodes
from quarterdeck.model.tokens import (
    ApiToken,
    CreateJoinToken,
    JoinToken,
    NewApiToken,
    NewJoinToken,
    Role,
)

T = TypeVar("T")


class AsyncClient:
    """Asks one server. Use it as an async context manager, or call `close`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        # what plain HTTP never needs takes longest to make: the certificates to trust
        self._http = httpx.AsyncClient(base_url=endpoint.url, verify=endpoint.url.startswith("https:"))

    @classmethod
    def local(cls) -> AsyncClient:
        """The client of the server that `Endpoint.find` finds: by environment, or on this machine."""
        return cls(Endpoint.find())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def send(self, call: Call[T], content: AsyncIterator[bytes] | None = None) -> T:
        """Sends any call, with `content` as its body if there is one, and returns its decoded answer."""
        try:
            response = await self._http.request(
                call.method,
                call.path,
                params=call.query,
                content=content or call.body or None,
                headers=call.headers(self.endpoint.token),
                timeout=call.timeout_s,
            )
        except httpx.TimeoutException as error:
            raise TimedOut(f"{self.endpoint.url} did not answer within {call.timeout_s:g} s.") from error
        except httpx.TransportError as error:
            raise calls.unreachable(self.endpoint.url, error) from error
        return call.answer(response.status_code, response.content)

    async def server_info(self) -> ServerInfo:
        """Version and addresses of the server."""
        return await self.send(calls.server_info())

    async def list_audit(self, *, limit: int = 100) -> list[AuditEntry]:
        """Who changed what, newest first."""
        return await self.send(calls.list_audit(limit=limit))

    async def list_nodes(self, selector: Selector = Selector()) -> list[Node]:
        """The nodes a selector means; the empty one means all."""
        return await self.send(calls.list_nodes(selector))

    async def show_node(self, node: str) -> Node:
        """One node by name, nid or gid/nid."""
        return await self.send(calls.show_node(node))

    async def label_node(self, node: str, labels: Mapping[str, str | None]) -> Node:
        """Sets labels; None removes one."""
        return await self.send(calls.label_node(node, labels))

    async def remove_node(self, node: str) -> None:
        """Ends a node: its agent is TERMINATED and its certificate revoked."""
        return await self.send(calls.remove_node(node))

    async def list_agents(self) -> list[AgentRecord]:
        """All agents, TERMINATED ones too."""
        return await self.send(calls.list_agents())

    async def create_join_token(self, request: CreateJoinToken = CreateJoinToken()) -> NewJoinToken:
        """A one-time token for a new node."""
        return await self.send(calls.create_join_token(request))

    async def list_join_tokens(self) -> list[JoinToken]:
        """Join tokens, used ones too."""
        return await self.send(calls.list_join_tokens())

    async def revoke_join_token(self, token_id: str) -> None:
        """Makes an unused join token worthless."""
        return await self.send(calls.revoke_join_token(token_id))

    async def create_api_token(self, name: str, role: Role, *, expires_s: float | None = None) -> NewApiToken:
        """A bearer token with a role."""
        return await self.send(calls.create_api_token(name, role, expires_s=expires_s))

    async def list_api_tokens(self) -> list[ApiToken]:
        """API tokens, without their secrets."""
        return await self.send(calls.list_api_tokens())

    async def revoke_api_token(self, token_id: str) -> None:
        """Ends an API token at once."""
        return await self.send(calls.revoke_api_token(token_id))

    async def create_module(self, files: Mapping[str, bytes], *, replace: bool = False) -> Module:
        """Compiles and checks a module's folder; `replace` makes it a new version of one that exists."""
        return await self.send(calls.create_module(files, replace=replace))

    async def list_modules(self) -> list[Module]:
        """All modules, the built-in ones too."""
        return await self.send(calls.list_modules())

    async def show_module(self, module: str) -> Module:
        """One module by name or id."""
        return await self.send(calls.show_module(module))

    async def deploy_module(
        self,
        module: str,
        selector: Selector = Selector(),
        settings: Mapping[str, SettingValue] | None = None,
    ) -> Module:
        """Runs a module on the nodes that match, now and whenever one joins later."""
        return await self.send(calls.deploy_module(module, selector, settings or {}))

    async def undeploy_module(self, module: str) -> Module:
        """Stops a module everywhere. Its rows stay."""
        return await self.send(calls.undeploy_module(module))

    async def delete_module(self, module: str) -> None:
        """Forgets a module that is not deployed. Its rows stay until their retention ends."""
        return await self.send(calls.delete_module(module))

    async def list_instances(self, module: str | None = None) -> list[Instance]:
        """Every instance with its wanted and actual state, of one module or of all."""
        return await self.send(calls.list_instances(module))

    async def create_command(self, request: CreateCommand, *, wait_s: float = 0.0) -> CommandWithJobs:
        """Asks nodes to do something, once. Durable when this returns.

        With `wait_s` (at most 60) it returns when every job has its result, or when that time is over.
        """
        return await self.send(calls.create_command(request, wait_s=wait_s))

    async def list_commands(self, *, limit: int = 100) -> list[Command]:
        """What was asked of nodes, newest first."""
        return await self.send(calls.list_commands(limit=limit))

    async def show_command(self, command_id: str) -> CommandWithJobs:
        """One command with what became of it on every node."""
        return await self.send(calls.show_command(command_id))

    def follow_command(self, command_id: str) -> AsyncIterator[Job]:
        """Every job of a command as it is, then as it changes, until all have their result.

        A lost connection is resumed where it stopped.
        """
        return self._stream(events.JobStream(command_id))

    def follow_output(self, command_id: str, *, follow: bool = True) -> AsyncIterator[Job | NodeMessages]:
        """A command with what it prints: its jobs as they change, and the messages of each node in their order.

        A job with its result comes behind all that it printed. It ends when all have one; without `follow`, with what
        there is now. A lost connection is resumed where it stopped: nothing is left out, and nothing comes twice.
        """
        return self._stream(events.OutputStream(command_id, follow=follow))

    async def kill_command(self, command_id: str, nodes: Sequence[str] = ()) -> CommandWithJobs:
        """Ends the jobs of a command that have no result yet, on these nodes or on all."""
        return await self.send(calls.kill_command(command_id, nodes))

    async def rerun_command(self, command_id: str) -> CommandWithJobs:
        """A new command: the same, on the nodes of the old one's jobs."""
        return await self.send(calls.rerun_command(command_id))

    async def list_messages(
        self, wanted: MessageFilter, selector: Selector | None = None, *, cursor: str = ""
    ) -> FoundMessages:
        """What processes printed, on the nodes and forwarded; `cursor` is that of the page before."""
        return await self.send(calls.list_messages(wanted, selector or Selector(), cursor=cursor))

    def follow_messages(
        self, wanted: MessageFilter, selector: Selector | None = None, *, resume: str = ""
    ) -> AsyncIterator[FoundMessages]:
        """What processes print from now on, or behind the `resume` of `list_messages`, without end.

        Each item has messages of one node. A lost connection is resumed where it stopped.
        """
        return self._stream(events.MessageStream(wanted, selector or Selector(), resume=resume))

    async def list_jobs(self, *, node: str | None = None, state: JobState | None = None, limit: int = 100) -> list[Job]:
        """Jobs, newest first, of one node or in one state or all."""
        return await self.send(calls.list_jobs(node=node, state=state, limit=limit))

    async def create_schedule(self, request: CreateSchedule) -> Schedule:
        """Asks for a command again and again."""
        return await self.send(calls.create_schedule(request))

    async def list_schedules(self) -> list[Schedule]:
        """Every schedule: when it is due, and what came of it last."""
        return await self.send(calls.list_schedules())

    async def enable_schedule(self, name: str, *, enabled: bool) -> Schedule:
        """Enables or disables a schedule; enabled again, it is due next after now."""
        return await self.send(calls.enable_schedule(name, enabled=enabled))

    async def delete_schedule(self, name: str) -> None:
        """Forgets a schedule. What it asked for goes on."""
        return await self.send(calls.delete_schedule(name))

    async def apply_services(self, request: ApplyServices) -> AppliedServices:
        """Makes services what the request says, all of them or none. The same again changes nothing."""
        return await self.send(calls.apply_services(request))

    async def list_services(self) -> list[ServiceInfo]:
        """Every service, with how many nodes are in each state."""
        return await self.send(calls.list_services())

    async def show_service(self, service: str) -> ServiceWithNodes:
        """One service with what it does on every node."""
        return await self.send(calls.show_service(service))

    async def remove_service(self, service: str) -> None:
        """Ends a service everywhere; refused while another comes after it."""
        return await self.send(calls.remove_service(service))

    async def restart_service(self, service: str, nodes: Sequence[str] = ()) -> CommandWithJobs:
        """Stops a service and starts it anew, where it runs or on these nodes: a command with its jobs."""
        return await self.send(calls.restart_service(service, nodes))

    async def upload_file(
        self, path: Path, *, name: str = "", progress: Progress | None = None, measured: Measured | None = None
    ) -> FileStatus:
        """Sends a file to the server, unless that has it; goes on after a cut. `progress` gets (bytes, of how many).

        `measured` is its hash and size, if they are known. Commands name the content by the sha256 of the answer.
        """
        sha256, size = measured or await asyncio.to_thread(transfers.measure, path)
        patience = Patience()
        while True:
            try:
                status = patience.saw(await self.file_status(sha256))
                if not status.complete:
                    call = calls.upload_file(sha256, offset=status.size, size=size, name=name or path.name)
                    status = await self.send(call, transfers.pieces_async(path, status.size, size, progress))
                return transfers.whole(path, status)
            except QuarterdeckError as error:
                patience.check(error)
            await asyncio.sleep(transfers.RESUME_S)

    async def download_file(
        self, sha256: str, path: Path, *, mode: int = 0o644, progress: Progress | None = None
    ) -> None:
        """Writes a content that the server has to a file; goes on after a cut, also one of this program."""
        patience = Patience()
        status = patience.saw(await self.file_status(sha256))
        if not status.complete:
            raise NotFound(f"The server has no file {sha256[:64]}.", hint="See `qd file ls`.")
        with Download(path, status) as download:
            while download.missing:
                try:
                    async with self._http.stream(**download.request(self.endpoint.token)) as response:
                        if response.status_code >= 400:
                            raise calls.failure(response.status_code, await response.aread())
                        async for data in response.aiter_bytes():
                            download.write(data)
                            if progress is not None:
                                progress(download.at, download.size)
                except httpx.TransportError as error:
                    patience.check(calls.unreachable(self.endpoint.url, error), download.at)
                    await asyncio.sleep(transfers.RESUME_S)
            download.finish(mode)

    async def file_status(self, sha256: str) -> FileStatus:
        """How much of a content the server has."""
        return await self.send(calls.file_status(sha256))

    async def list_files(self) -> list[StoredFile]:
        """The contents that the server keeps, that last used first."""
        return await self.send(calls.list_files())

    async def list_transfers(self) -> list[Transfer]:
        """How far files are on their way to nodes and from them; those that moved lately."""
        return await self.send(calls.list_transfers())

    async def delete_file(self, sha256: str) -> None:
        """Removes a content from the server. What was put on nodes stays there."""
        return await self.send(calls.delete_file(sha256))

    async def list_tables(self) -> list[TableInfo]:
        """Every table with its size and age."""
        return await self.send(calls.list_tables())

    async def query(
        self,
        sql: str,
        parameters: Mapping[str, QueryParameter] | None = None,
        *,
        max_rows: int = 10_000,
        timeout_s: float = 30.0,
    ) -> Answer:
        """SQL over the tables; parameters are written `{name:Type}` in it."""
        return await self.send(calls.query(sql, parameters or {}, max_rows=max_rows, timeout_s=timeout_s))

    async def query_bytes(
        self,
        sql: str,
        *,
        format: QueryFormat,
        max_rows: int = 10_000,
        timeout_s: float = 30.0,
    ) -> bytes:
        """The answer as CSV with a header line, or as an Arrow IPC stream."""
        return await self.send(calls.query(sql, {}, max_rows=max_rows, timeout_s=timeout_s, format=format))

    def tail(self, table: str, *, where: str = "") -> AsyncIterator[TailRows]:
        """The rows of a table as they are stored, without end; a lost connection is resumed where it stopped."""
        return self._stream(events.TailStream(table, where=where))

    async def _stream(self, stream: Stream[T]) -> AsyncIterator[T]:
        """What a stream says until it ends; opened again where it was when its connection is lost."""
        while True:
            try:
                async with self._http.stream(**stream.arguments(self.endpoint.token)) as response:
                    if response.status_code >= 400:
                        raise calls.failure(response.status_code, await response.aread())
                    async for line in response.aiter_lines():
                        for item in stream.feed(line):
                            yield item
            except httpx.TransportError as error:
                if not stream.cursor and not stream.ended:
                    raise calls.unreachable(self.endpoint.url, error) from error
            if stream.ended:  # read to the end of its answer, so that its connection serves the next call too
                return
            await asyncio.sleep(events.RESUME_S)
