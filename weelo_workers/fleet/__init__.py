"""The fleet domain: vehicles, drivers, devices, and whether a transporter wants work."""
