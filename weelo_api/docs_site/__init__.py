"""The documentation at `/docs`: both API documents, the codes, the lifecycles and the rules of the socket.

Every file that its pages load is part of this package, so a browser contacts no other server.
"""
