"""The fleet domain: vehicles, drivers and whether a transporter wants work."""
