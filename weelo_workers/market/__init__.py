"""Market figures: what they count, their counters, and the code that counts the transitions of each command."""
