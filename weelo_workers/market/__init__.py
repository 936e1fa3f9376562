"""Market figures: what counts as what, the counters, and the function that counts the transitions of each command."""
