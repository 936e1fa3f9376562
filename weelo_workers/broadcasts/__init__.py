"""The broadcasts domain: asking for trucks, telling rings, ending."""
