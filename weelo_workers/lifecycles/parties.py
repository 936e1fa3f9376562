"""The parties that make the transitions of broadcasts, slots, holds and assignments, as the diagrams name them."""

CUSTOMER = "customer"
TRANSPORTER = "transporter"
DRIVER = "driver"
ADMIN = "admin"
TIMER = "timer"
SYSTEM = "system"
"""The party of transitions that follow from another command: in its transaction, or by a command that it sends."""

PARTIES = (CUSTOMER, TRANSPORTER, DRIVER, ADMIN, TIMER)
