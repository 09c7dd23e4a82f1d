"""When tiles that failed are tried again."""

from terraloom_engines.server.retries import LONGEST_SECONDS, Retries
from terraloom_engines.tiling import TileId

TILE, OTHER = TileId(3, 1, 2), TileId(3, 2, 2)


def test_the_pause_doubles_up_to_a_limit_and_the_client_is_told_once() -> None:
    retries, now, pauses, told = Retries(), 100.0, [], []
    for _ in range(9):
        told.append(retries.failed(TILE, now))
        pause = retries.seconds_to_next([TILE, OTHER].__contains__, now)
        assert pause is not None and retries.waits(TILE, now) and not retries.waits(OTHER, now)
        now += pause
        assert not retries.waits(TILE, now)
        pauses.append(pause)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, LONGEST_SECONDS, LONGEST_SECONDS, LONGEST_SECONDS]
    assert told == [True] + 8 * [False]


def test_a_success_ends_the_episode() -> None:
    retries = Retries()
    assert retries.failed(TILE, 0.0)
    assert not retries.failed(TILE, 1.0)
    retries.succeeded(TILE)
    assert not retries.waits(TILE, 1.0) and retries.seconds_to_next([TILE].__contains__, 1.0) is None
    assert retries.failed(TILE, 2.0), "a new episode"


def test_only_tiles_that_are_wanted_count() -> None:
    retries = Retries()
    retries.failed(TILE, 0.0)
    assert retries.seconds_to_next([OTHER].__contains__, 0.0) is None
    assert retries.seconds_to_next([TILE].__contains__, 50.0) == 0.0
    retries.clear()
    assert retries.seconds_to_next([TILE].__contains__, 50.0) is None
