"""`qd file`: put files on nodes, get them from there, and see what the server keeps of them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from rich.markup import escape

from quarterdeck.cli import output, results
from quarterdeck.cli.arguments import Json, connect
from quarterdeck.cli.command import Detach, Where
from quarterdeck.cli.moving import Moving
from quarterdeck.cli.progress import Progress
from quarterdeck.client import Client
from quarterdeck.client.transfers import measure
from quarterdeck.model.errors import BadInput, NotFound
from quarterdeck.model.files import NodeFile, StoredFile
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
    mode: Annotated[str, Parameter(help="Its mode there, such as 0644; default: the mode it has here.")] = "",
    user: Annotated[
        str, Parameter(help="Its owner there; default: that of the file it replaces, else the agent's.")
    ] = "",
    mkdir: Annotated[bool, Parameter(help="Make the folders that are missing.")] = False,
    keep: Annotated[bool, Parameter(help="Do not replace a file with another content: that is an error.")] = False,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Put a file on nodes. It is sent to the server once, and what is there already is not sent at all.

    Run it again after Ctrl-C, or after anything else: it goes on where it stopped. Nodes that are away get the file
    when they are back, as long as the server keeps it.
    """
    if not local.is_file():
        raise (
            BadInput(f"{local} is not a file.", hint=_TAR) if local.exists() else BadInput(f"There is no file {local}.")
        )
    expires_s = where.expires_s
    with connect() as client:
        selector = where.chosen(client)
        measured = measure(local)
        progress = Progress(wanted=not json)
        try:
            client.upload_file(local, measured=measured, progress=_shown(progress, "to the server"))
        except KeyboardInterrupt:
            progress.clear()
            output.errors.print("\nNo node was asked yet. The same command again goes on where this one stopped.")
            sys.exit(results.EXIT_INTERRUPTED)
        finally:
            progress.clear()
        request = CreateCommand(
            cmd="put_file",
            args={
                "path": remote + local.name if remote.endswith("/") else remote,
                "sha256": measured.sha256,
                "size": measured.size,
                "mode": mode or f"{local.stat().st_mode & 0o777:04o}",
                "user": user,
                "overwrite": not keep,
                "make_dirs": mkdir,
            },
            selector=selector,
            any=where.any,
            expires_s=expires_s,
        )
        made = client.create_command(request)
        if detach:
            results.print_accepted(made, json=json)
        else:
            _follow(client, made, _print_file, json=json)


@app.command
def pull(
    remote: Annotated[str, Parameter(help="A file's absolute path on the nodes.")],
    local: Annotated[
        Path, Parameter(help="Where it goes: a file or folder; of several nodes, a folder for each in it.")
    ],
    /,
    *,
    where: Where = Where(),
    json: Json = False,
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
        made = client.create_command(request)
        paths = destinations(made, local, PurePosixPath(remote).name)

        def fetch(job: Job) -> None:
            file, path = _node_file(job), paths[job.key]
            path.parent.mkdir(parents=True, exist_ok=True)
            progress = Progress(wanted=not json)
            shown = _shown(progress, f"from {job.node_name}")
            try:
                client.download_file(file.sha256, path, mode=int(file.mode, 8) & 0o777, progress=shown)
            finally:
                progress.clear()
            if not json:
                _say(job, f"{path} ({output.size(file.size)})")

        _follow(client, made, fetch, json=json)


@app.command(name="ls")
def ls(*, json: Json = False) -> None:
    """List the files that the server keeps, that last used first."""
    with connect() as client:
        found = client.list_files()
    output.show(
        found,
        {
            "sha256": lambda f: f.sha256[:SHORT],
            "name": lambda f: f.name,
            "size": lambda f: output.size(f.size),
            "used": lambda f: output.age(f.used_at),
        },
        json=json,
        empty="The server keeps no files.",
    )


@app.command(name="rm")
def rm(file: Annotated[str, Parameter(help="Its sha256, or the beginning of it; see `qd file ls`.")], /) -> None:
    """Remove a file from the server. What was put on nodes stays there."""
    with connect() as client:
        found = named_file(client.list_files(), file)
        client.delete_file(found.sha256)
    output.console.print(f"{found.sha256[:SHORT]} {escape(found.name)} is removed.", soft_wrap=True)


_TAR = "Folders are packed first: tar -cf FOLDER.tar FOLDER."


def named_file(files: list[StoredFile], named: str) -> StoredFile:
    """The one whose hash begins like this; `NotFound`."""
    found = [file for file in files if named and file.sha256.startswith(named.lower())]
    if len(found) != 1:
        raise NotFound(
            f"The server keeps {'no file' if not found else 'more than one file'} whose sha256 begins with '{named}'.",
            hint="See `qd file ls`.",
        )
    return found[0]


def _follow(client: Client, made: CommandWithJobs, done: Print, *, json: bool) -> None:
    """Until every node has its result; `done` is called for those that are OK. Ends the program unless all are."""
    said = set[tuple[NodeKey, str]]()
    moving = Moving(client, made, wanted=not json)
    try:
        with moving:
            for job in client.follow_command(made.id):
                with moving.away(job):
                    if job.state is JobState.OK:
                        done(job)
                    elif is_final(job.state) and not json:
                        results.print_state(job)
                    elif job.reason and not json and (job.key, job.reason) not in said:
                        said.add((job.key, job.reason))
                        output.errors.print(f"[dim]{escape(f'{job.node_name} {job.reason}')}[/]", soft_wrap=True)
    except KeyboardInterrupt:
        output.errors.print(f"\nNo longer following; the jobs go on. See `qd job show {made.id} --follow`.")
        sys.exit(results.EXIT_INTERRUPTED)
    jobs = moving.jobs.values()
    if json:
        output.print_json(client.show_command(made.id))
    else:
        states = results.counts(Counter(job.state for job in jobs))
        output.errors.print(f"[dim]{states} on {output.counted(len(jobs), 'node')}[/]")
    if any(job.state is not JobState.OK for job in jobs):
        sys.exit(results.EXIT_NOT_OK)


def destinations(made: CommandWithJobs, local: Path, name: str) -> dict[NodeKey, Path]:
    """Where each node's file goes."""
    if len(made.jobs) == 1:
        (job,) = made.jobs
        return {job.key: local / name if local.is_dir() else local}
    names = Counter(job.node_name for job in made.jobs)
    return {job.key: local / _folder(job, unique=names[job.node_name] == 1) / name for job in made.jobs}


def _folder(job: Job, *, unique: bool) -> str:
    """A folder's name for a node: its own, unless that leads elsewhere or is another's too."""
    plain = unique and job.node_name not in {"", ".", ".."} and not set(job.node_name) & {"/", "\0", "\\"}
    return job.node_name if plain else f"{job.gid}-{job.nid}"


def _node_file(job: Job) -> NodeFile:
    return msgspec.json.decode(job.result.data if job.result else "", type=NodeFile)


def _print_file(job: Job) -> None:
    file = _node_file(job)
    _say(job, f"{file.path} {file.mode} ({output.size(file.size)})")


def _say(job: Job, text: str) -> None:
    output.console.print(f"[bold]{escape(job.node_name)}[/] {output.cell(job.state)} {escape(text)}", soft_wrap=True)


def _shown(progress: Progress, where: str) -> Callable[[int, int], None]:
    """Shows how far a transfer is."""

    def show(at: int, size: int) -> None:
        share = 100 * at // size if size else 100
        progress.show(f"{where}: {share} % of {output.size(size)}")

    return show
