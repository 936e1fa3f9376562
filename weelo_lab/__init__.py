"""The lab: plays the whole dispatch from a seed, on a clock that only the lab moves (`weelo lab`).

The production handlers, SQL statements and Redis scripts run in one process, on an embedded PostgreSQL and Valkey. A
scheduler decides when each message is delivered and when each person acts.
"""
