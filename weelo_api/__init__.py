"""The API: authenticates, validates and enqueues. What it answers with 202 will be executed."""
