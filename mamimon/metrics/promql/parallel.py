"""Tiles of a matrix worked on by as many threads as there are cores: numpy lets go of the lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import numpy as np

Job = TypeVar("Job")
Done = TypeVar("Done")

WORTH_CELLS = 1 << 19
"""Below this many samples handing work to threads costs more than it saves."""
QUICK = frozenset(
    (
        "count_over_time", "delta", "first_over_time", "idelta", "increase", "irate", "last_over_time",
        "max_over_time", "min_over_time", "present_over_time", "rate",
    )
)  # fmt: skip
"""Functions of so short calls into numpy that handing over the lock takes longer than threads save."""
_CORES = os.cpu_count() or 1


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, _CORES - 1), thread_name_prefix="promql-tile")


def each(work: Callable[[Job], Done], jobs: Sequence[Job], cells: int) -> Iterator[Done]:
    """`work` of every job, in order; `cells` is how much there is to do.

    The asking thread works too, so questions that ask at once share the cores and none waits for all.
    """
    if cells < WORTH_CELLS or len(jobs) < 2 or _CORES < 2:
        yield from map(work, jobs)
        return

    def quiet(job: Job) -> Done:
        with np.errstate(all="ignore"):  # a thread has its own error state
            return work(job)

    futures = [_pool().submit(quiet, job) for job in reversed(jobs)][::-1]
    try:
        for future, job in zip(futures, jobs, strict=True):
            # The pool begins at the other end; what nobody has begun is done here.
            yield work(job) if future.cancel() else future.result()
    finally:
        for future in futures:
            future.cancel()
