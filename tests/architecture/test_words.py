"""One word, five places: a domain's name is also that of its queue, folder, contract, blueprint and service."""

from __future__ import annotations

import pytest

from tests.architecture.compose import services
from tests.support.sources import DOMAINS, ROOT, python_files
from weelo_workers import app
from weelo_workers.contracts.queues import QUEUES, TIMERS

# The timers of all domains share a queue of their own, so that a flood of requests delays no deadline.
QUEUES_WITHOUT_A_DOMAIN = {TIMERS}
# The commands of these domains are sent so seldom that they use the queue of another domain.
DOMAINS_WITHOUT_A_QUEUE = {"person", "policies", "relations"}


def test_every_queue_is_a_domain_or_named_as_an_exception() -> None:
    assert set(QUEUES) - QUEUES_WITHOUT_A_DOMAIN == set(DOMAINS) - DOMAINS_WITHOUT_A_QUEUE


def test_the_worker_finds_the_handlers_of_every_domain() -> None:
    assert set(app.DOMAINS) == set(DOMAINS)


@pytest.mark.parametrize("domain", [each for each in DOMAINS if each not in DOMAINS_WITHOUT_A_QUEUE])
def test_a_domain_is_a_folder_a_contract_a_blueprint_and_a_service(domain: str) -> None:
    for path in (
        f"weelo_workers/{domain}/__init__.py",
        f"weelo_workers/contracts/{domain}.py",
        f"weelo_api/views/{domain}.py",
    ):
        assert (ROOT / path).is_file(), f"{domain}: {path} is missing"
    assert f'blueprint("{domain}")' in (ROOT / f"weelo_api/views/{domain}.py").read_text()
    assert domain in services(), f"{domain}: no service in docker-compose.yml"


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_module_of_a_domain_has_a_docstring(domain: str) -> None:
    for path in python_files(f"weelo_workers/{domain}"):
        assert path.read_text().startswith('"""'), f"{path} has no docstring"
