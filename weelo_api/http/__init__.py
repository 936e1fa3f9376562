"""What applies to every HTTP request: address, role, body, errors and response headers."""
