"""The trips domain: an assigned truck, from the answer of its driver until the goods have arrived."""
