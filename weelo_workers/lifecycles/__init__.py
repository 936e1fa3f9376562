"""Rules, pure: which transition may follow which, how rings grow, when two vehicles are of one kind."""
