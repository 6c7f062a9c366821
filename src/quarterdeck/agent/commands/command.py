"""A command of this agent: what is called to carry a job out, what it answers, and how its arguments are read.

Arguments come in `args`, or as a JSON object in `data`. Each command names those it takes by a struct; another one, or
one of the wrong type, is an error in words. `queue` and `max_time` are every command's, and the executor's business.

A command whose work outlives the agent (a process that the keeper has) has an `end`. It is never cancelled by a kill
or a time limit: the one is `end`, the other its own business. It is cancelled when the agent ends, and does nothing
then: the job goes on, and `resume` takes it up in the agent's next life.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec

from quarterdeck.model.errors import BadInput
from quarterdeck.model.jobs import JobOffer, JobState
from quarterdeck.model.mismatch import in_words
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
    #: takes up a job that was running when the agent ended; without it, such a job is LOST
    resume: Run | None = None
    #: of a job that was to begin after this (monotonic clock of this boot): whether it surely never did
    unbegun: Callable[[str, float], Awaitable[bool]] | None = None
    #: of a job that outlives the agent: ends it by its id, unless it is not there
    end: Callable[[str], bool] | None = None
    #: does not wait while `max_jobs` run: what ends things must not wait for them
    immediate: bool = False


class CommonArguments(Struct, frozen=True, kw_only=True):
    """What every command may be given."""

    queue: str = ""  #: jobs with the same queue run one at a time, in the order of their acceptance
    max_time: float = 0.0  #: seconds; more than 0: the job is ended after them
    recurring_period: float = 0.0  #: seconds; of commands that run programs

    @property
    def lasting(self) -> bool:
        """Whether the job is not expected to end by itself."""
        return self.max_time < 0 or self.recurring_period > 0


_COMMON = CommonArguments.__struct_fields__
#: those that every command takes
_ALL = ("queue", "max_time")


class NoArguments(Struct, frozen=True, kw_only=True):
    """Of a command that takes none of its own."""


def common_arguments(job: JobOffer) -> CommonArguments:
    """`queue`, `max_time` and `recurring_period`; `BadInput` when they are not what they should be."""
    return _convert(job.cmd, {name: job.args[name] for name in _COMMON if name in job.args}, CommonArguments)


def arguments(job: JobOffer, kind: type[T], *, data: bool = True) -> T:
    """The command's own arguments as a `kind`; `BadInput` in words. `data`: they may be there too."""
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
        raise BadInput(f"What {cmd} was given does not fit: {in_words(error, cmd)}.") from error
