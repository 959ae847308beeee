"""
How long a request, a job and arq's in-progress key may last; each limit follows from the one
before.
"""

from typing import Final

from service.settings import Settings

# One request reads the call, the other writes it.
REQUESTS_PER_JOB: Final = 2
# For what a job does beside its requests: some round trips to Redis, and the wait for a permit that
# was granted ahead.
JOB_MARGIN_S: Final = 3.0
# arq keeps a job's in-progress key so much longer than the job may run.
ARQ_MARGIN_S: Final = 10.0
# For what lies between the question for a permit and the request: the answer, a commit, and the
# wait for a permit that was granted ahead. A request that could outlast its permit is not sent.
HOLD_MARGIN_S: Final = 2.0


def hold_s(settings: Settings) -> float:
    """
    The longest that one request to Buildr may be under way, in seconds.

    For so long its permit counts, and no other worker writes the call.
    """
    return settings.buildr_timeout_s + HOLD_MARGIN_S


def job_limit_s(settings: Settings) -> float:
    """
    The longest that a job may take, in seconds.

    A job ends by itself before that: one that arq ends would leave its call half written.
    """
    return REQUESTS_PER_JOB * hold_s(settings) + JOB_MARGIN_S


def in_progress_s(settings: Settings) -> float:
    """For how many seconds arq's in-progress key of a job exists."""
    return job_limit_s(settings) + ARQ_MARGIN_S
