"""The engine: the only place where a transaction begins or ends.

`mailbox` stores commands, `bus` executes them (`claim`, `run`, `settle`, `failures`, `crashes`), `sweep` finds those
that no worker has executed, `unit_of_work` is what a handler works with. The engine knows no command by name.
"""
