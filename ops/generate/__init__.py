"""Generates the files in ops/ from the code. `python -m ops.generate` writes them; tests/ops fails if they differ."""
