"""Writes gunicorn's log lines in the format of all other log lines."""

from __future__ import annotations

import logging
from typing import Any

from gunicorn.glogging import Logger

from weelo_workers.logs import configuring


class GunicornLogger(Logger):  # type: ignore[misc]
    """Leaves gunicorn's lines to the handler of this process. gunicorn's options about logs have no effect."""

    def setup(self, cfg: Any) -> None:
        """Configure the logs here, because gunicorn logs before it calls `start` of its settings."""
        super().setup(cfg)
        for logger in (self.error_log, self.access_log):
            logger.handlers.clear()
            logger.propagate = True
            logger.setLevel(logging.NOTSET)
        configuring.configure("api")
