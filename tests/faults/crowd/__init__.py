"""Many transporters, each on its own socket; in the end their received frames are compared with the server's state.

`script.py` plans all actions and faults, `listener.py` has the transporters, `phone.py` a socket client that checks the
protocol, `playing.py` runs the script. `WEELO_LISTENERS=500 WEELO_BROADCASTS=200` is the long form of about 15 min.
"""
