"""The search for faults: scripts drawn from seeds are played under faults, and the invariants of the rows are checked."""
