"""Read-only queries, most of them as views of the contract. Nothing here writes or locks."""
