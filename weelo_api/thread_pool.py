"""A thread pool that goes on with the threads it has if the system permits no further one."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

from weelo_workers.log_rate_limit import RateLimitFilter

log = logging.getLogger(__name__)
log.addFilter(RateLimitFilter())


class ThreadPool(ThreadPoolExecutor):
    """A pool that goes on with its running threads if the system does not let it start another one.

    The system refuses another thread at a limit: `ulimit -u`, or the container's limit.
    """

    def start(self) -> None:
        """Start the first thread. Raises RuntimeError if not even that is possible."""
        self.submit(int).result()

    def _adjust_thread_count(self) -> None:
        # `submit` has put the work into the queue already, so a running thread will execute it.
        try:
            super()._adjust_thread_count()
        except RuntimeError as refusal:
            if not self._threads:
                raise
            log.warning("work waits for a thread, because no further one can be started: %s", refusal)
