"""The pages at / and /map: what is served of them, built or not, and how it may be kept."""

from pathlib import Path

import pytest

from terraloom.testing import ServerAddress
from terraloom_engines.http import pages
from web import ask, get

BUILT = (pages.VIEWER / "index.html").is_file()
needs_build = pytest.mark.skipif(not BUILT, reason="the viewer has not been built: make viewer")


@needs_build
@pytest.mark.parametrize("path", ["/", "/map"])
def test_pages_may_load_nothing_from_elsewhere_and_are_asked_for_again(server: ServerAddress, path: str) -> None:
    answer = get(server.http, path)
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "public, no-cache"
    assert ask(server.http + path, If_None_Match=answer.headers["etag"]).status == 304


@needs_build
def test_assets_are_packed_and_kept_for_ever(server: ServerAddress) -> None:
    for path in (pages.VIEWER / "assets").glob("index-*.js"):
        answer = get(server.http, f"/assets/{path.name}", Accept_Encoding="gzip")
        assert answer.headers["content-encoding"] == "gzip" and len(answer.body) <= 1_000_000
        assert "immutable" in answer.headers["cache-control"]
        assert get(server.http, f"/assets/{path.name}").body == path.read_bytes()


@pytest.mark.parametrize("path", ["/assets/none.js", "/assets/..%2findex.html", "/assets/%2e%2e", "/assets/"])
def test_nothing_but_assets_is_an_asset(server: ServerAddress, path: str) -> None:
    assert ask(server.http + path).status == 404


def test_the_places_of_the_viewer_are_those_of_the_commands() -> None:
    import json

    from terraloom_engines.render.places import PLACES

    listed = json.loads((Path(__file__).parent.parent / "sdk/web/src/places.json").read_text())
    names = {place["name"].lower().replace(" ", "-"): place for place in listed}
    for name, place in PLACES.items():
        assert name in names
        assert abs(names[name]["lat"] - place.latitude) < 1.5, "the viewer looks at it from near by"
