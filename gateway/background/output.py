"""What a batch leaves: one line per request, in OpenAI's shape, answers in one file and failures in another."""

from __future__ import annotations

from gateway.dialects.json_bytes import dumps
from gateway.domain.background import JobStanding, JobState

_UNANSWERED = {
    JobState.EXPIRED: ("batch_expired", "the request was not answered within the batch's 24 hours"),
    JobState.CANCELLED: ("batch_cancelled", "the batch was cancelled before the request was sent"),
}


def output_line(line: JobStanding) -> bytes:
    """The line of an ended request, its end included."""
    head = b'{"id":' + dumps(line.job.id) + b',"custom_id":' + dumps(line.job.custom_id)
    if line.state in _UNANSWERED:
        code, message = _UNANSWERED[line.state]
        return head + b',"response":null,"error":' + dumps({"code": code, "message": message}) + b"}\n"
    # An answer's own bytes, but that a line has no line ends: inside JSON's strings there are none.
    body = (line.result or b"null").replace(b"\n", b" ").replace(b"\r", b" ")
    status = b"%d" % (line.status or 0)
    answer = b',"response":{"status_code":' + status + b',"request_id":' + dumps(line.request_id)
    return head + answer + b',"body":' + body + b'},"error":null}\n'
