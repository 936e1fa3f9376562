"""The sandbox (`WEELO_ENV=sandbox`): moves the clock, and acts for robot fleets.

The routes in `views/sandbox.py` store advances of the clock and robot fleets as rows of the schema `sandbox`. One
process, `python -m weelo_api.sandbox`, executes them. If it is killed, nothing is lost, and its successor continues.
"""
