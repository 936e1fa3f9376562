"""Read-only queries. Most of them return views of the contract. None of them writes or locks."""
