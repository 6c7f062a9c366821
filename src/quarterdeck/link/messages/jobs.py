"""Jobs, from the offer to the stored result."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from quarterdeck.link.limits import JOBS_LIMIT, JobIds
from quarterdeck.model.jobs import JobOffer, JobResult
from quarterdeck.model.struct import Wire


class JobOffers(Wire, frozen=True, kw_only=True, tag="job_offers"):
    """Jobs to run, each once: after every Welcome all that have no result yet, then each new one."""

    jobs: Annotated[tuple[JobOffer, ...], Meta(max_length=JOBS_LIMIT)]


class JobsTaken(Wire, frozen=True, kw_only=True, tag="jobs_taken"):
    """Confirms that these jobs are on the agent's disk, and that each will have a result."""

    ids: JobIds


class JobsStarted(Wire, frozen=True, kw_only=True, tag="jobs_started"):
    """Reports that these jobs began. Not repeated: it is only informative."""

    ids: JobIds


class JobResults(Wire, frozen=True, kw_only=True, tag="job_results"):
    """The results of jobs. Sent again over every connection until `ResultsStored` names them."""

    results: Annotated[tuple[JobResult, ...], Meta(max_length=JOBS_LIMIT)]


class ResultsStored(Wire, frozen=True, kw_only=True, tag="results_stored"):
    """Confirms that these results are on the server's disk; the agent removes them."""

    ids: JobIds


class KillJobs(Wire, frozen=True, kw_only=True, tag="kill_jobs"):
    """Requests the end of these jobs, whether they wait or run. Ids of unknown or finished jobs are ignored."""

    ids: JobIds
