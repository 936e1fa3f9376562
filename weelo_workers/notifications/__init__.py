"""The notifications domain: recipients (catalog), the log (deliver), live events (live_stream), phones (push)."""
