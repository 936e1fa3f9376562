"""Tests of the code's structure: names, layers, completeness, and the files that build and run it."""
