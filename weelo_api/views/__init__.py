"""Routes, one file per domain. The logic is in the handlers and the queries."""
