"""The trips domain: an assigned truck, from its driver's answer to the delivery."""
