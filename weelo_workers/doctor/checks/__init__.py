"""The checks: a module for each part of the system. A finding is one line that names what is wrong."""
