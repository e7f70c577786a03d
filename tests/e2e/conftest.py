"""Fixtures: the two ways Restante runs, and tenants with accounts on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.service import Cluster, Embedded, Service
from harness.tenants import Tenant, new_tenant


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="the long campaigns, with their full numbers")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What only the long campaigns can afford is no part of the short run."""
    if config.getoption("--soak"):
        return
    long = [item for item in items if item.get_closest_marker("only_soak")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


@pytest.fixture(scope="session")
def soak(request: pytest.FixtureRequest) -> bool:
    return request.config.getoption("--soak")


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """`restante dev` on an embedded PostgreSQL and a local directory."""
    with Embedded(tmp_path_factory.mktemp("embedded") / "data") as service:
        yield service


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """PostgreSQL, SeaweedFS, two pop3, one lmtp, one admin and one worker."""
    with Cluster(tmp_path_factory.mktemp("cluster")) as service:
        yield service


@pytest.fixture(scope="module", params=["embedded", "cluster"])
def service(request: pytest.FixtureRequest) -> Service:
    """Each of both."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def tenant(service: Service) -> Tenant:
    return new_tenant(service)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory for a mail client's files."""
    return tmp_path
