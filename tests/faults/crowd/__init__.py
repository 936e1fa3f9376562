"""Many transporters, each on its own socket; in the end their received frames are compared with the server's state.

`script.py` plans all actions and faults. `listener.py` contains the transporters. `phone.py` contains a socket client
that checks the protocol. `playing.py` runs the script. With `WEELO_LISTENERS=500 WEELO_BROADCASTS=200` the test takes
about 15 min.
"""
