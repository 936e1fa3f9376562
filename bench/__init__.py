"""Benchmarks of the running system. Their figures are for the documentation; no test asserts them."""
