"""A folder for PYTHONPATH: it makes a process one of a newer version."""
