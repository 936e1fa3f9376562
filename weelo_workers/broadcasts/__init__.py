"""The broadcasts domain: creating, offering, ending."""
