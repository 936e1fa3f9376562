"""A running `weelo up` really uses its roles: PostgreSQL itself says who is connected as whom."""

from __future__ import annotations

import os
from collections.abc import Iterator
from uuid import uuid4

import psutil
import psycopg2
import pytest
from sqlalchemy.engine import make_url

from tests.runtime.conftest import without_weelo
from tests.security.up import Up
from weelo_workers.contracts.statuses import Role
from weelo_workers.runtime.embedded import Postgres

pytestmark = pytest.mark.xdist_group("embedded up")


def variables(pid: int) -> dict[str, str]:
    return psutil.Process(pid).environ()
