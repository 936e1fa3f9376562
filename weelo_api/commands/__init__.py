"""Commands: limits, the mailbox row, the wake-up of a worker, and waiting for the outcome."""
