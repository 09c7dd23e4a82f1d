"""The HTTP face: warm GLBs, conditional requests and tilesets over keep-alive connections."""

import http.client
import socket
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from benchmarks.machine import quantiles
from terraloom.testing import run_server
from terraloom_engines.tiling import tile_from_lonlat

CONNECTIONS = 8


class Connection:
    """One keep-alive connection that reads answers into one buffer: a client must cost less than the server it measures."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None and parts.port is not None
        self._host = f"{parts.hostname}:{parts.port}"
        self._socket = socket.create_connection((parts.hostname, parts.port))
        self._buffer = memoryview(bytearray(1 << 20))

    def get(self, path: str, headers: str = "") -> tuple[int, int]:
        """Status and bytes of the answer to one GET."""
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n{headers}\r\n".encode())
        have, end = 0, -1
        while end < 0:
            have += self._socket.recv_into(self._buffer[have:])
            end = bytes(self._buffer[: min(have, 4096)]).find(b"\r\n\r\n")
        head = bytes(self._buffer[:end]).lower()
        found = head.find(b"content-length: ")
        length = int(head[found + 16 :].split(b"\r\n", 1)[0]) if found >= 0 else 0
        while have < end + 4 + length:
            have += self._socket.recv_into(self._buffer[have:])
        return int(head[9:12]), length


def _storm(url: str, paths: list[str], headers: str, requests: int, expected: int) -> dict[str, Any]:
    """`requests` of `paths` in turn over `CONNECTIONS` connections."""
    seconds: list[float] = []
    size = 0

    def client(first: int) -> None:
        nonlocal size
        connection = Connection(url)
        for i in range(first, requests, CONNECTIONS):
            start = time.perf_counter()
            status, size = connection.get(paths[i % len(paths)], headers)
            seconds.append(time.perf_counter() - start)
            assert status == expected, f"{paths[i % len(paths)]} answered {status}"

    threads = [threading.Thread(target=client, args=(first,)) for first in range(CONNECTIONS)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = len(seconds) / (time.perf_counter() - start)
    return {"requests_per_s": round(rate), "ms": quantiles(seconds, 1e3), "bytes": size}


def warm(requests: int = 4000) -> dict[str, Any]:
    """Answers out of memory, with `CONNECTIONS` requests in flight."""
    corner = tile_from_lonlat(7, 8.0, 46.5)
    tiles = [f"/earth/tiles/7/{corner.x + i % 2}/{corner.y + i // 2}.glb" for i in range(4)]
    tilesets, pictures = (
        ["/earth/tileset.json", "/earth/subtrees/4/8/5.json"],
        [tiles[0].replace("tiles", "imagery").replace("glb", "webp")],
    )
    with run_server(http=True) as address:
        etag, host = "", urlsplit(address.http).netloc
        for path in [*tiles, *tilesets, *pictures]:
            connection = http.client.HTTPConnection(host)
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            etag = answer.getheader("ETag") or ""
        return {
            "glb": _storm(address.http, tiles, "", requests, 200),
            "picture": _storm(address.http, pictures, "", requests, 200),
            "not_modified": _storm(address.http, pictures, f"If-None-Match: {etag}\r\n", requests, 304),
            "tileset_gzip": _storm(address.http, tilesets, "Accept-Encoding: gzip\r\n", requests, 200),
            "in_flight": CONNECTIONS,
            "note": "client and server share the cores",
        }


def measure() -> dict[str, Any]:
    """All figures of this module."""
    return {"warm": warm()}
