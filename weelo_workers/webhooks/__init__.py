"""Webhooks: endpoints of users' servers, to which the lines of the users' logs are posted.

`deliver.py` takes the lease of a webhook in a transaction. After the commit `sending.py` posts the lines, outside of any
transaction, in an event loop of its own. `leases.py` has the statements that the sender executes, `posting.py` one HTTP
request to an address that was checked.
"""
