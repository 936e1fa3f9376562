"""Weelo's dispatch: commands become atomic PostgreSQL transitions, timers are commands with a due time."""

__version__ = "0.1.0"
