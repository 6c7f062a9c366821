"""`qd file`: files to nodes, files from nodes, and the files that the server keeps."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from rich.markup import escape

from quarterdeck.cli import many, output, results
from quarterdeck.cli.arguments import connect
from quarterdeck.cli.cells import Age, Size
from quarterdeck.cli.command import Detach
from quarterdeck.cli.formats import ListOptions, OutputOptions
from quarterdeck.cli.job_list import print_command
from quarterdeck.cli.listing import Column, Listing
from quarterdeck.cli.progress import Progress
from quarterdeck.cli.selection import Where
from quarterdeck.cli.transfer_progress import TransferProgress
from quarterdeck.client import Client
from quarterdeck.client.transfers import measure
from quarterdeck.model.errors import BadInput, NotFound, Unavailable
from quarterdeck.model.files import NodeFile, StoredFile, check_mode
from quarterdeck.model.jobs import CommandWithJobs, CreateCommand, Job, JobState, is_final
from quarterdeck.model.nodes import NodeKey

app = App(name="file", help="Put files on nodes, get them from there.")

#: digits of a hash that lists show, and that are enough to name one
SHORT = 12
#: prints what became of one job
Print = Callable[[Job], None]


@app.command
def push(
    local: Annotated[Path, Parameter(help="A file here.")],
    remote: Annotated[str, Parameter(help="Its absolute path on the nodes; ending with '/', the folder it goes to.")],
    /,
    *,
    where: Where = Where(),
    mode: Annotated[
        str,
        Parameter(
            help="Mode on the node, such as 0644; default: as here, with the set-user-id bits of a replaced file."
        ),
    ] = "",
    user: Annotated[
        str, Parameter(help="Its owner there; default: that of the file it replaces, else the agent's.")
    ] = "",
    mkdir: Annotated[bool, Parameter(help="Make the folders that are missing.")] = False,
    keep: Annotated[bool, Parameter(help="Do not replace a file with another content: that is an error.")] = False,
    detach: Detach = False,
    how: OutputOptions = OutputOptions(),
) -> None:
    """Put a file on nodes. It is sent to the server once, and what is there already is not sent at all.

    Run it again after Ctrl-C, or after anything else: it goes on where it stopped. Nodes that are away get the file
    when they are back, as long as the server keeps it.
    """
    if not local.is_file():
        found = local.exists()
        raise BadInput(f"{local} is not a file.", hint=_TAR) if found else NotFound(f"There is no file '{local}' here.")
    expires_s, mode = where.expires_s, check_mode(mode) if mode else f"{local.stat().st_mode & 0o777:03o}"
    with connect() as client:
        selector = where.chosen(client)
        measured = measure(local)
        progress = Progress(wanted=how.is_table)
        try:
            client.files.upload(local, measured=measured, progress=progress.of_transfer("to the server"))
        except KeyboardInterrupt:
            progress.clear()
            output.errors.print("\nNo node was asked yet. The same command again goes on where this one stopped.")
            raise
        finally:
            progress.clear()
        request = CreateCommand(
            cmd="put_file",
            args={
                "path": remote + local.name if remote.endswith("/") else remote,
                "sha256": measured.sha256,
                "size": measured.size,
                "mode": mode,
                "user": user,
                "overwrite": not keep,
                "make_dirs": mkdir,
            },
            selector=selector,
            any=where.any,
            expires_s=expires_s,
        )
        made = client.commands.create(request)
        if detach:
            results.print_accepted(made, how)
        else:
            _follow(client, made, _print_file if how.is_table else lambda _: None, how)


@app.command
def pull(
    remote: Annotated[str, Parameter(help="A file's absolute path on the nodes.")],
    local: Annotated[
        str,
        Parameter(
            help="Destination: a file, or a folder (it exists or ends with '/'); for several nodes a folder for each."
        ),
    ],
    /,
    *,
    where: Where = Where(),
    how: OutputOptions = OutputOptions(),
) -> None:
    """Get a file from nodes: from one as LOCAL, from several as LOCAL/NODE/NAME."""
    expires_s = where.expires_s
    with connect() as client:
        request = CreateCommand(
            cmd="get_file",
            args={"path": remote},
            selector=where.chosen(client),
            any=where.any,
            expires_s=expires_s,
        )
        made = client.commands.create(request)
        paths = destinations(made, local, PurePosixPath(remote).name)

        def fetch(job: Job) -> None:
            file, path = _node_file(job), paths[job.key]
            path.parent.mkdir(parents=True, exist_ok=True)
            progress = Progress(wanted=how.is_table)
            report = progress.of_transfer(f"from {job.node_name}")
            try:
                client.files.download(file.sha256, path, mode=int(file.mode, 8) & 0o777, progress=report)
            finally:
                progress.clear()
            if how.is_table:
                _say(job, f"{path} ({output.size(file.size)})")

        _follow(client, made, fetch, how)


FILES = Listing[StoredFile](
    columns=(
        Column("sha256", lambda f: f.sha256[:SHORT]),
        Column("name", lambda f: f.name),
        Column("size", lambda f: Size(f.size)),
        Column("used", lambda f: Age(f.used_at), rank=1),
        Column("whole sha256", lambda f: f.sha256, wide=True),
    ),
    name=lambda f: f.sha256,
    empty="The server keeps no files.",
)


@app.command(name="ls")
def ls(*, how: ListOptions = ListOptions()) -> None:
    """List the files that the server keeps, that last used first."""
    with connect() as client:
        FILES.print(client.files.list, how)


@app.command(name="rm")
def rm(
    *files: Annotated[str, Parameter(name="FILE", help="A sha256, or the beginning of it; see `qd file ls`.")],
) -> None:
    """Remove files from the server. What was put on nodes stays there."""
    with connect() as client:

        def remove(name: str) -> StoredFile:
            found = named_file(client.files.list(), name)
            client.files.remove(found.sha256)
            return found

        many.each(files, remove, lambda found: many.say(f"{found.sha256[:SHORT]} {found.name} is removed."))


_TAR = "Folders are packed first: tar -cf FOLDER.tar FOLDER."


def named_file(files: Sequence[StoredFile], named: str) -> StoredFile:
    """Return the file whose hash starts with this text; raise `NotFound`."""
    found = [file for file in files if named and file.sha256.startswith(named.lower())]
    if len(found) != 1:
        raise NotFound(
            f"The server keeps {'no file' if not found else 'more than one file'} whose sha256 begins with '{named}'.",
            hint="See `qd file ls`.",
        )
    return found[0]


def _follow(client: Client, made: CommandWithJobs, done: Print, how: OutputOptions) -> None:
    """Follow until every node has a result; call `done` for each that is OK. Exit unless all are OK."""
    said = set[tuple[NodeKey, str]]()
    progress = TransferProgress(client, made, wanted=how.is_table)
    client.absent = progress.print_absence
    try:
        with progress:
            for job in client.commands.follow(made.id):
                with progress.away(job):
                    if job.state is JobState.OK:
                        done(job)
                    elif is_final(job.state) and how.is_table:
                        results.print_state(job)
                    elif job.reason and how.is_table and (job.key, job.reason) not in said:
                        said.add((job.key, job.reason))
                        output.errors.print(f"[dim]{escape(f'{job.node_name} {job.reason}')}[/]", soft_wrap=True)
    except (KeyboardInterrupt, Unavailable):
        output.errors.print(f"\nNo longer following; the jobs go on. See `qd job show {escape(made.id)} --follow`.")
        raise
    jobs = progress.jobs.values()
    if not how.is_table:
        print_command(client.commands.get(made.id), how)
    else:
        states = results.counts(Counter(job.state for job in jobs))
        output.errors.print(f"[dim]{escape(states)} on {output.counted(len(jobs), 'node')}[/]")
    if any(job.state is not JobState.OK for job in jobs):
        sys.exit(results.EXIT_NOT_OK)


def destinations(made: CommandWithJobs, local: str, name: str) -> dict[NodeKey, Path]:
    """Return the local path of each node's file."""
    given = Path(local)
    if len(made.jobs) == 1:
        (job,) = made.jobs
        return {job.key: given / name if local.endswith(("/", "/.", "/..")) or given.is_dir() else given}
    names = Counter(job.node_name for job in made.jobs)
    return {job.key: given / _folder(job, unique=names[job.node_name] == 1) / name for job in made.jobs}


def _folder(job: Job, *, unique: bool) -> str:
    """Return the folder name of a node: its own name, unless that is not a safe or unique file name."""
    plain = unique and job.node_name not in {"", ".", ".."} and not set(job.node_name) & {"/", "\0", "\\"}
    return job.node_name if plain else f"{job.gid}-{job.nid}"


def _node_file(job: Job) -> NodeFile:
    return msgspec.json.decode(job.result.data if job.result else "", type=NodeFile)


def _print_file(job: Job) -> None:
    file = _node_file(job)
    _say(job, f"{file.path} {file.mode} ({output.size(file.size)})")
    if job.result and job.result.reason:
        output.errors.print(f"[dim]{escape(job.node_name)}[/] {escape(job.result.reason)}", soft_wrap=True)


def _say(job: Job, text: str) -> None:
    output.console.print(f"[bold]{escape(job.node_name)}[/] {output.cell(job.state)} {escape(text)}", soft_wrap=True)
