"""Weelo's dispatch: commands become atomic PostgreSQL transitions, timers are commands with a due time."""

import atexit
import gc

__version__ = "0.1.0"

# Set before our own imports, in every process of the system. Objects made by imports live until the end, but with its
# default thresholds the garbage collector visits them about a hundred times during the imports and twice at exit: a third
# of the time that a process takes to start and to end (docs/performance.md).
gc.set_threshold(10_000, 20, 20)
atexit.register(gc.freeze)
