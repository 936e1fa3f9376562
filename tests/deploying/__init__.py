"""Tests of deployments: other brokers and poolers, several hosts, several versions at once, restores."""
