"""Rules, pure: which transition may follow which, how rings grow, how far it is from here to there."""
