"""The trips domain: a truck that won a slot, from the driver's answer to the last kilometre."""
