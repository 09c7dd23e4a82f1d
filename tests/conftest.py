"""What tests share: one real server for all that only ask."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from terraloom import Client, connect
from terraloom.testing import ServerAddress, run_server

settings.register_profile("repeatable", deadline=None, derandomize=True)  # a busy machine fails no test, and no run differs from the last
settings.load_profile("repeatable")


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where worlds of rasters are kept, empty at first, so that no test sees those of whoever runs it."""
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("home")
        patch.setenv("TERRALOOM_HOME", str(root))
        yield root


@pytest.fixture(scope="session")
def server(home: Path) -> Iterator[ServerAddress]:
    """Address of a server of the embedded world that nobody may stop; its `http` is that of the HTTP face."""
    with run_server(http=True) as address:
        yield address


@pytest.fixture
def client(server: str) -> Iterator[Client]:
    """A client of that server."""
    with connect(server) as client:
        client.wait_ready()
        yield client
