"""Log lines: one format for every process, the fields of each line, and the lines about lost connections."""
