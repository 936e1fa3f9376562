"""Chooses the OTEL_… variables that have an effect.

This module imports neither OpenTelemetry nor a module that imports it, such as redis-py.
"""

import os

PREFIX = "OTEL_"
NAMES = ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES")
"""The names in traces."""
PREFIXES = ("OTEL_EXPORTER_OTLP_", "OTEL_BSP_", "OTEL_TRACES_SAMPLER")
"""Beginnings of the others: the address, headers and certificates of the collector, the batches, and which share of traces is
sent."""


def remove_others() -> None:
    """Remove OTEL_… variables that have no effect here from the environment. Call this before importing OpenTelemetry.

    The removed variables choose parts of OpenTelemetry that these processes do not use. If one of them has a wrong
    value, the import prints a traceback, or each span raises an error.
    """
    for name in [each for each in os.environ if each.startswith(PREFIX)]:
        if name not in NAMES and not name.startswith(PREFIXES):
            del os.environ[name]
