"""The sandbox (`WEELO_ENV=sandbox`): moves the clock, and acts for robot fleets.

The routes in `views/sandbox.py` store each request to move the clock (an *advance*) and each robot fleet as a row of the
schema `sandbox`. One process, `python -m weelo_api.sandbox`, moves the clock and acts for the robots. If this process is
killed, nothing is lost, and its successor continues.
"""
