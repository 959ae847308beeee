"""
How long a request, a job and arq's own marker may last; each limit follows from the one before it.
"""

from typing import Final

from service.settings import Settings

JOB_MARGIN_S: Final = 3.0


# What arq adds to the limit of a job before another worker may start it.
ARQ_MARGIN_S: Final = 10.0


HOLD_MARGIN_S: Final = 2.0


MOST_REQUESTS: Final = 2


def hold_s(settings: Settings) -> float:
    """
    The longest that one request to Buildr may be under way, in seconds: a permit counts so long,
    and no other worker writes the call.
    """
    return settings.buildr_timeout_s + HOLD_MARGIN_S


def job_limit_s(settings: Settings) -> float:
    """
    The longest that a job may take, in seconds; it ends by itself before that, so that arq never
    ends it.
    """
    return MOST_REQUESTS * hold_s(settings) + JOB_MARGIN_S


def in_progress_s(settings: Settings) -> float:
    """For how many seconds arq marks a job as being run."""
    return job_limit_s(settings) + ARQ_MARGIN_S
