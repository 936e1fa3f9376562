"""A process that has this folder in its PYTHONPATH behaves as one of a newer version."""
