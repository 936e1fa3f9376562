"""Metrics of processes: the counters, the multiprocess directory that they share, and the HTTP server of workers."""
