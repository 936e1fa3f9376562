"""What it costs, measured on the running system: figures for README, never asserted in tests."""
