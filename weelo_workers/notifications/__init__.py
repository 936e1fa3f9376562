"""The notifications domain: recipients (catalog), the logs (event_log), live events (live_stream), phones (push)."""
