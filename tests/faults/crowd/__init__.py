"""A crowd of transporters, each on a socket of its own, and what they have heard in the end.

`script.py` says who does what when, `listener.py` who the transporters are, `phone.py` what a socket may not do,
`playing.py` plays it. `WEELO_LISTENERS=500 WEELO_BROADCASTS=200` is the long form, of some 15 min.
"""
