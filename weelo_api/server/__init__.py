"""gunicorn: its settings, its worker, and the responses to requests that it cannot parse."""
