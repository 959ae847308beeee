"""
The JSON argument of `commit.lua`.
"""

import json
from datetime import datetime
from hashlib import sha1

from service.store.call_index import buckets_of
from service.store.call_update import CallUpdate, Retention
from service.store.links import stored_bytes


def commit_arguments(
    update: CallUpdate, retention: Retention, *, worker_id: str | None, ends_job: bool
) -> str:
    """
    What an update writes beside its packed parts; a key that does not apply is left out. Of a
    worker's job it says whether that goes on or ends.
    """
    record = update.record
    arguments: dict[str, object] = {
        "ref": record.ref,
        "version": update.version,
        "state": record.state.value,
        "done": list(update.done),
        "failed": dict(update.failed),
        "drop_failed": list(update.drop_failed),
        "leave_lane": update.leaves_lane,
        "awaits_names": update.awaits_names,
        "replay": update.replay_request_text,
        "keep_messages_ms": retention.messages_ms,
        "keep_failed_ms": retention.failed_ms,
        "keep_call_ms": retention.calls_ms,
        "keep_open_ms": retention.open_ms,
    }
    buckets = buckets_of(record)
    # cjson would make an object of an empty list.
    if buckets:
        arguments["buckets"] = sorted(buckets)
    if update.before is not None and (left := buckets_of(update.before) - buckets):
        arguments["left_buckets"] = sorted(left)
    if record.last_received_at is not None:
        arguments["last_ms"] = _epoch_ms(record.last_received_at)
    if update.wakes:
        arguments["wakes"] = list(update.wakes)
    # An empty link is one that the job has seen to be absent.
    if update.link_text is not None:
        arguments.update(_link_arguments(update.link_text))
    if update.numbers and update.started_at is not None:
        arguments["numbers"] = dict(update.numbers)
        arguments["started_ms"] = _epoch_ms(update.started_at)
    if update.claimed is not None:
        arguments["claimed"] = update.claimed
    if update.due_at is not None:
        arguments["due_ms"] = _epoch_ms(update.due_at)
    return json.dumps({**arguments, **_job_arguments(worker_id, ends_job=ends_job)})


def _link_arguments(text: str) -> dict[str, str]:
    try:
        text.encode()
    # Damaged: bytes that JSON cannot carry.
    except UnicodeEncodeError:
        return {"link_sha1": sha1(stored_bytes(text), usedforsecurity=False).hexdigest()}
    return {"link": text}


def _job_arguments(worker_id: str | None, *, ends_job: bool) -> dict[str, str]:
    # Without a worker it is no job that commits.
    if worker_id is None:
        return {}
    if ends_job:
        return {"ends": worker_id}
    return {"worker": worker_id}


def _epoch_ms(at: datetime) -> int:
    """Milliseconds since 1970; at least 1, since the scripts read 0 as never."""
    return max(1, int(at.timestamp() * 1000))
