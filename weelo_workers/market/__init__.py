"""Market figures: the definitions of what they count, the counters, and the counting of each command's transitions."""
