"""Export and erasure of personal data, on real servers."""
