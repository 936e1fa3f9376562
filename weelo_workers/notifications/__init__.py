"""Telling people: who hears what (catalog), in which order (deliver), and how fast (news)."""
