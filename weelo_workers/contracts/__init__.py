"""Words that API, workers and apps agree on: commands, events, statuses, rejection codes, queues."""
