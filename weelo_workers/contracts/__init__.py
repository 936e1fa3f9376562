"""The types that API, workers and apps share: commands, events, statuses, rejection codes, queues."""
