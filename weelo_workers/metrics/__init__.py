"""Figures for operators: what processes count, where they leave it for one another, and a port to read it at."""
