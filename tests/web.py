"""The web as tests see it: requests to a server's HTTP face by Python's own client."""

import http.client
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

import numpy as np
from numpy.typing import NDArray

TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered."""

    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def ask(url: str, method: str = "GET", **headers: str) -> Answer:
    """One request on a connection of its own. Underscores in names of headers stand for hyphens. The path goes out as it is."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def get(base: str, path: str, **headers: str) -> Answer:
    """GET of a path that must succeed."""
    answer = ask(urljoin(base, path), **headers)
    assert answer.status == 200, f"{path}: {answer.status} {answer.body[:300]!r}"
    return answer


def placed_vertices(glb: bytes) -> NDArray[np.float64]:
    """Positions of an uncompressed GLB of the HTTP face, shape (n, 3), on the axes of 3D Tiles (z up) and in its world's coordinates."""
    length = int.from_bytes(glb[12:16], "little")
    document, binary = json.loads(glb[20 : 20 + length]), glb[28 + length :]
    (outer,) = document["scenes"][0]["nodes"]
    matrix = np.reshape(document["nodes"][outer]["matrix"], (4, 4)).T
    accessor = document["accessors"][document["meshes"][0]["primitives"][0]["attributes"]["POSITION"]]
    view = document["bufferViews"][accessor["bufferView"]]
    positions = np.frombuffer(binary, "<f4", 3 * accessor["count"], view.get("byteOffset", 0)).reshape(-1, 3)
    x, y, z = (positions @ matrix[:3, :3].T + matrix[:3, 3]).T
    return np.stack([x, -z, y], axis=-1)
