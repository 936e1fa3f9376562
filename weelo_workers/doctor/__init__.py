"""The checks of a running installation: `weelo doctor` prints them, and beat runs them every minute."""
