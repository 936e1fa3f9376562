"""Generates the files in ops/ from the code. `python -m ops.generate` writes them; tests/ops compares them."""
