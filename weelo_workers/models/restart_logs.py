"""Starts the event logs anew after a restore from a backup."""

from __future__ import annotations

from sqlalchemy import Connection, text

JUMP = 1_000_000
"""Added to the newest `seq` of each log: more lines than a user can have got between the backup and its restore."""

# This statement is executed first: it locks the log heads, so no command can write lines until the transaction ends.
_RAISE = text("UPDATE log_heads SET seq = seq + :jump")
_DELETE_LINES = text("DELETE FROM log_lines")
_MOVE_WEBHOOKS = text("""
    UPDATE webhooks SET delivered_seq = log_heads.seq FROM log_heads WHERE log_heads.user_id = webhooks.user_id
""")


def restart_logs(connection: Connection) -> int:
    """Delete all lines, and number new ones above every number that an app can have read. Return the number of logs.

    A restored log may end before the last line that its reader has received. New lines would then get the numbers of
    lines that the reader has, and the reader would take them for repetitions. After this call every `resume` with an
    old number is answered with `resync_required`. The numbers of new lines are also above those that Redis holds as
    acknowledged.
    """
    count = connection.execute(_RAISE, {"jump": JUMP}).rowcount
    connection.execute(_DELETE_LINES)
    connection.execute(_MOVE_WEBHOOKS)
    return count
