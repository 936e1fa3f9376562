"""The engine: the only place where a transaction begins or ends. Mailbox, unit of work, bus, bell, sweep."""
