"""A command of this agent: the function that carries a job out, its answer, and how its arguments are read.

Arguments come in `args`, or as a JSON object in `data`. Each command declares its own by a struct; another one, or one
of the wrong type, is an error with a message. Every command has `queue` and `max_time`, which the executor handles.

A command whose work outlives the agent (a process of the keeper) has an `end`. Neither a kill nor a time limit cancels
it: a kill calls `end`, and the command limits its own time. When the agent ends it is cancelled, and does nothing then:
the work continues, and `resume` continues the job in the next run of the agent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar, cast

import msgspec

from quarterdeck.model.errors import BadInput
from quarterdeck.model.jobs import JobOffer, JobState
from quarterdeck.model.mismatch import in_words
from quarterdeck.model.struct import Struct

#: level of a result that is JSON, numbered as in the requirement document
JSON_LEVEL = 20

T = TypeVar("T", bound=msgspec.Struct)


class Outcome(Struct, frozen=True, kw_only=True):
    """The outcome of a job; the fields are those of `JobResult`."""

    state: JobState = JobState.OK
    data: str = ""
    level: int = 0
    code: int | None = None
    reason: str = ""
    critical: str = ""
    streams: tuple[str, str] = ("", "")


#: Carries one job out. A QuarterdeckError becomes ERROR with its message. Cancelled when the job is killed or out of
#: time: it then ends what it started and raises the cancellation.
Run = Callable[[JobOffer], Awaitable[Outcome]]


class Command(Struct, frozen=True, kw_only=True):
    """An entry of the registry, which maps names to commands."""

    run: Run
    #: resumes a job that was running when the agent ended; without it, such a job is LOST
    resume: Run | None = None
    #: of a job that was to start after this time (monotonic clock of this boot): whether it surely did not
    unbegun: Callable[[str, float], Awaitable[bool]] | None = None
    #: of a job that outlives the agent: whether an earlier run started it, and it can be resumed here
    left: Callable[[str], Awaitable[bool]] | None = None
    #: of a job that outlives the agent: ends it by its id; returns False when it does not exist
    end: Callable[[str], bool] | None = None
    #: does not wait while `max_jobs` run: commands that end jobs must not wait for them
    immediate: bool = False


class CommonArguments(Struct, frozen=True, kw_only=True):
    """The arguments that every command accepts."""

    queue: str = ""  #: jobs with the same queue run one at a time, in the order of their acceptance
    max_time: float = 0.0  #: seconds; more than 0: the job is ended after this time
    recurring_period: float = 0.0  #: seconds; for commands that run programs

    @property
    def lasting(self) -> bool:
        """Return whether the job is expected to run without end."""
        return self.max_time < 0 or self.recurring_period > 0


_COMMON = CommonArguments.__struct_fields__
#: the arguments that every command takes
_ALL = ("queue", "max_time")


class NoArguments(Struct, frozen=True, kw_only=True):
    """The arguments of a command that has none of its own."""


def common_arguments(job: JobOffer) -> CommonArguments:
    """Return `queue`, `max_time` and `recurring_period`; raise `BadInput` for wrong values."""
    return _convert(job.cmd, {name: job.args[name] for name in _COMMON if name in job.args}, CommonArguments)


def arguments(job: JobOffer, kind: type[T], *, data: bool = True) -> T:
    """Return the command's own arguments as a `kind`; raise `BadInput`. `data`: they may be in the job's data."""
    own = kind.__struct_fields__
    given = {name: value for name, value in job.args.items() if name in own or name not in _ALL}
    if data:
        given |= _from_data(job)
    unknown = sorted(set(given) - set(own))
    if unknown:
        taken = ", ".join(dict.fromkeys((*own, *_ALL)))
        raise BadInput(f"{job.cmd} takes the arguments {taken}; found '{unknown[0]}'.")
    return _convert(job.cmd, given, kind)


def answer(value: msgspec.Struct) -> Outcome:
    """Return OK with `value` as its JSON. Bytes that are not UTF-8 are written as `\\xff`."""
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:
        encoded = msgspec.json.encode(_text(msgspec.to_builtins(value)))
    return Outcome(data=encoded.decode(), level=JSON_LEVEL)


def _text(value: Any) -> Any:
    """Return the value with its text made encodable."""
    match value:
        case str():
            return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        case dict():
            return {_text(key): _text(each) for key, each in cast("dict[Any, Any]", value).items()}
        case list() | tuple():
            return [_text(each) for each in cast("list[Any]", value)]
        case _:
            return value


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
        raise BadInput(f"The arguments of {cmd} are not valid: {in_words(error, cmd)}.") from error
