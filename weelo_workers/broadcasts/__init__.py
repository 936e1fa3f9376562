"""The broadcasts domain: the commands that create, offer and end broadcasts."""
