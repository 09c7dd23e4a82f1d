"""The Gymnasium environment: it is one, and two whole runs of it are the same, on a warm server and on a cold one."""

from collections.abc import Iterator

import numpy as np
import pytest

from terraloom import Client, connect
from terraloom.testing import run_server

gymnasium = pytest.importorskip("gymnasium", reason="gymnasium is not installed here; the extra is `sims`")

from gymnasium.utils.env_checker import check_env  # noqa: E402

from terraloom_sims.environment import RoverEnv, RoverOptions  # noqa: E402

COARSE = RoverOptions(level=6, spread=30_000.0, goal=60_000.0, near=3000.0, spacing=3000.0, fastest=4000.0, step_seconds=2.0, most_steps=12)
"""Over ground that takes little time to make; a giant's rover."""


def episode(client: Client, seed: int, steps: int = 12) -> list[object]:
    """All that an agent with a seeded mind sees of two episodes."""
    environment, seen = RoverEnv(client, COARSE), []
    mind = np.random.default_rng(seed)
    for start in (seed, None):
        observation, info = environment.reset(seed=start)
        seen.append((observation["heights"].tobytes(), observation["state"].tobytes(), info["state_hash"]))
        for _ in range(steps):
            observation, reward, terminated, truncated, info = environment.step(mind.uniform((0.0, -0.3), (1.0, 0.3)).astype(np.float32))
            seen.append((observation["heights"].tobytes(), observation["state"].tobytes(), reward, info["state_hash"]))
            assert np.isfinite(observation["heights"]).all() and np.isfinite(reward)
            if terminated or truncated:
                break
    environment.close()
    return seen


@pytest.fixture(scope="module")
def cold() -> Iterator[Client]:
    with run_server() as address, connect(address) as client:
        client.wait_ready()
        yield client


def test_two_runs_see_the_same_on_a_cold_server_and_on_a_warm_one(client: Client, cold: Client) -> None:
    first = episode(client, 7)
    assert episode(client, 7) == first, "the server has everything now"
    assert episode(cold, 7) == first
    assert len(first) > 12 and len({seen[-1] for seen in first}) > 1, "the ground changed on the way"  # type: ignore[index]
    assert episode(client, 8) != first


@pytest.mark.filterwarnings("ignore")
def test_it_is_a_gymnasium_environment(client: Client) -> None:
    environment = RoverEnv(client, COARSE)
    check_env(environment, skip_render_check=True)
    environment.close()
