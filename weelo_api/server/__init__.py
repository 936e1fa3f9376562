"""gunicorn: its settings, its worker, and the answers to requests that it cannot parse."""
