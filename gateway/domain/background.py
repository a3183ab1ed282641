"""Work that is answered later: stored requests, and the files and batches that bring many of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

RESPONSE_PREFIX = "resp_ponder"
"""What the ids of background responses begin with: no provider's do."""


class JobState(StrEnum):
    """Where a stored request stands; all but the first two are final."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class BatchState(StrEnum):
    """Where a batch stands, in OpenAI's words."""

    VALIDATING = "validating"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class FilePurpose(StrEnum):
    """What a file is for: brought for a batch, or made by one."""

    BATCH = "batch"
    BATCH_OUTPUT = "batch_output"


@dataclass(frozen=True, slots=True)
class Job:
    """A request to be answered later, as it is stored; a line of a batch where ``batch_id`` is set.

    ``body`` is the request's JSON with its ``ponder`` field, and ``headers`` are those that mean
    something to its call. It waits until ``deadline_at`` (Unix seconds) at most.
    """

    id: str
    key_id: str
    endpoint: str
    model: str
    body: bytes
    created_at: float
    deadline_at: float
    headers: Mapping[str, str] = field(default_factory=dict)
    batch_id: str | None = None
    line: int | None = None
    custom_id: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A job taken by one process, for as long as its lease.

    ``number`` counts how often the job was taken: what was learned under an older number is not kept.
    ``losses`` counts the takers that ended without a word.
    """

    job: Job
    number: int
    losses: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended. ``body`` is the answer, or the error in the dialect of its endpoint.

    ``answer_id`` is the provider's own id of a stored response.
    """

    state: JobState
    status: int
    request_id: str
    body: bytes
    answer_id: str | None = None


@dataclass(frozen=True, slots=True)
class JobStanding:
    """A job as whoever asked for it may see it."""

    job: Job
    state: JobState
    finished_at: float | None
    request_id: str | None
    status: int | None
    result: bytes | None


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file's description; its bytes are read in chunks."""

    id: str
    key_id: str
    purpose: FilePurpose
    name: str
    size: int
    created_at: float
    kept_until: float


@dataclass(frozen=True, slots=True)
class LineFault:
    """What is wrong with a line of a batch's file; ``line`` counts from 1 and is None for the file itself."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """A batch's requests: all, those answered, and those that failed."""

    total: int = 0
    completed: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class ProviderBatch:
    """A batch that runs at its provider: where, and under which id once the provider has said so."""

    upstream: str
    file_id: str | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch; ``stamps`` holds when it entered each state that it has been in."""

    id: str
    key_id: str
    endpoint: str
    input_file_id: str
    metadata: Mapping[str, str]
    state: BatchState
    created_at: float
    deadline_at: float
    stamps: Mapping[str, float] = field(default_factory=dict)
    faults: tuple[LineFault, ...] = ()
    counts: Counts = Counts()
    output_file_id: str | None = None
    error_file_id: str | None = None
    provider: ProviderBatch | None = None


@dataclass(frozen=True, slots=True)
class BatchClaim:
    """A batch taken care of by one process, for as long as its lease."""

    batch: Batch
    number: int


def fault_document(fault: LineFault) -> dict[str, Any]:
    """A fault as JSON, as it is stored and shown."""
    return {"code": fault.code, "message": fault.message, "line": fault.line, "param": fault.param}
