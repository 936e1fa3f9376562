"""Generates the files in ops/ from the code. `python -m ops.generate` writes them; tests/ops checks that they are current."""
