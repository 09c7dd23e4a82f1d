"""What tests share: one real server for all that only ask."""

from collections.abc import Iterator

import pytest

from terraloom import Client, connect
from terraloom.testing import run_server


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Address of a server of the embedded world that nobody may stop."""
    with run_server() as address:
        yield address


@pytest.fixture
def client(server: str) -> Iterator[Client]:
    """A client of that server."""
    with connect(server) as client:
        client.wait_ready()
        yield client
