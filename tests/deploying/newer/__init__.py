"""A folder for PYTHONPATH: a process with it on its path behaves as one of a newer version."""
