"""Reading: rows as the contract shows them. Nothing here writes or locks."""
