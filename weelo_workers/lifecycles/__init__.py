"""Pure rules without I/O: the lifecycle tables, the radius ladder, the cap on open offers, distances."""
