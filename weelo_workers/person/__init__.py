"""Personal data: which stored data are personal, where the rows of a person are, their export and their erasure.

`columns.py` classifies every column of every table, `fields.py` every field of the JSON in them (events, payloads,
results). `rows.py` finds the rows of a person, `scrubbing.py` replaces what is personal in them, `erase.py` is the
handler of the erasure, `exporting.py` makes the export. This package reads and changes the rows of all domains, so it
is a layer above them.
"""
