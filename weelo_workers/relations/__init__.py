"""Relations of customers and transporters: blocked, preferred, contracted."""
