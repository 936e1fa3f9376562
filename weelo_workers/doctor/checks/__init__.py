"""The checks, by what they look at. A finding is one line that names what is wrong."""
