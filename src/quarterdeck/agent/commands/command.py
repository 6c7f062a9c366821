"""A command of this agent: what is called to carry a job out, what it answers, and how its arguments are read.

Arguments come in `args`, or as a JSON object in `data`. Each command names those it takes by a struct; another one, or
one of the wrong type, is an error in words. `queue` and `max_time` are every command's, and the executor's business.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec

from quarterdeck.model.errors import BadInput
from quarterdeck.model.jobs import JobOffer, JobState
from quarterdeck.model.struct import Struct

#: level of a result that is JSON, as the requirement document numbers them
JSON_LEVEL = 20

T = TypeVar("T", bound=msgspec.Struct)


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of carrying a job out; the fields are those of `JobResult`."""

    state: JobState = JobState.OK
    data: str = ""
    level: int = 0
    code: int | None = None
    reason: str = ""
    critical: str = ""
    streams: tuple[str, str] = ("", "")


#: Carries one job out. A QuarterdeckError becomes ERROR with its words. Cancelled when the job is killed or out of
#: time: it then ends what it began and lets the cancellation through.
Run = Callable[[JobOffer], Awaitable[Outcome]]


class Command(Struct, frozen=True, kw_only=True):
    """One entry of the registry, which is a mapping from names to these."""

    run: Run
    resume: Run | None = None  #: takes up a job that was running when the agent ended; without it, such a job is LOST
    immediate: bool = False  #: does not wait while `max_jobs` run: what ends things must not wait for them


class CommonArguments(Struct, frozen=True, kw_only=True):
    """What every command may be given."""

    queue: str = ""  #: jobs with the same queue run one at a time, in the order of their acceptance
    max_time: float = 0.0  #: seconds; more than 0: the job is ended after them


_COMMON = CommonArguments.__struct_fields__


class NoArguments(Struct, frozen=True, kw_only=True):
    """Of a command that takes none of its own."""


def common_arguments(job: JobOffer) -> CommonArguments:
    """`queue` and `max_time`; `BadInput` when they are not what they should be."""
    return _convert(job.cmd, {name: job.args[name] for name in _COMMON if name in job.args}, CommonArguments)


def arguments(job: JobOffer, kind: type[T]) -> T:
    """The command's own arguments as a `kind`; `BadInput` in words."""
    given = {name: value for name, value in job.args.items() if name not in _COMMON} | _from_data(job)
    unknown = sorted(set(given) - set(kind.__struct_fields__))
    if unknown:
        taken = ", ".join((*kind.__struct_fields__, *_COMMON))
        raise BadInput(f"{job.cmd} takes the arguments {taken}; found '{unknown[0]}'.")
    return _convert(job.cmd, given, kind)


def answer(value: msgspec.Struct) -> Outcome:
    """OK, with this as its JSON."""
    return Outcome(data=msgspec.json.encode(value).decode(), level=JSON_LEVEL)


def _from_data(job: JobOffer) -> dict[str, Any]:
    if not job.data.strip():
        return {}
    try:
        return msgspec.json.decode(job.data, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadInput(f"{job.cmd} takes its arguments in args, or as a JSON object in data: {error}.") from error


def _convert(cmd: str, given: Mapping[str, Any], kind: type[T]) -> T:
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise BadInput(f"An argument of {cmd} is not what it should be: {error}.") from error
