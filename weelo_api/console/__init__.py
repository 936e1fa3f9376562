"""The operator's console at `/console`: pages, a live map and levers, for admins with a browser.

Pages are made here from the same queries as the API's responses, and a lever sends the same command as its route. The
pages load nothing from other servers.
"""
