"""The HTTP face under friendly, clumsy and hostile clients."""

import json
import re
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from terraloom.errors import CODES, ResourceExhaustedError
from terraloom.testing import ServerAddress, run_server
from terraloom_engines.http.waiting import MOST_WAITING, Admission
from web import ask, get

HOSTILE = (
    "/../etc/passwd",
    "/earth/../../etc/passwd",
    "/earth/tiles/../../../worlds.glb",
    "/earth/tiles/..%2f..%2f..%2fetc%2fpasswd/0/0.glb",
    "/earth%00/tileset.json",
    "/earth/tiles/0/0/0%00.glb",
    "/earth/tiles/99/0/0.glb",
    "/earth/tiles/-1/0/0.glb",
    "/earth/tiles/3/8/0.glb",
    "/earth/tiles/3/0/-1.glb",
    f"/earth/tiles/3/{'9' * 5000}/0.glb",
    "/earth/tiles/3/1e1/0.glb",
    "/earth/tiles/3/0x1/0.glb",
    "/earth/tiles/3/%D9%A1/0.glb",
    "/earth/tiles/3/1/0.exe",
    "/earth/subtrees/5/0/0.json",
    "/earth/imagery/99/0/0.webp",
    "/earth/terrain-rgb/0/0/0.jpg",
    "/earth/secrets/0/0/0.png",
    "/earth/tileset.json?seed=-1",
    "/earth/tileset.json?seed=x",
    f"/earth/tileset.json?seed={'9' * 20}",
    "/earth/tiles/0/0/0.glb?segments=65",
    "/earth/tiles/0/0/0.glb?quality=0",
    "/earth/tiles/0/0/0.glb?surface=moon",
    "/earth/heights",
    "/earth/heights?lon=1,2&lat=3",
    "/earth/heights?lon=nan&lat=0",
    "/earth/heights?lon=0&lat=91",
    f"/earth/heights?lon={'0,' * 300}0&lat={'0,' * 300}0",
    "/earth/heights?lon=0&lat=0&level=19",
    "/earth/tilejson.json?layer=secrets",
    "/mars/tileset.json",
    "/planet:x/tileset.json",
    "/" + "a" * 3000 + "/tileset.json",
)


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: path[:60])
def test_what_makes_no_sense_is_refused_in_one_sentence(server: ServerAddress, path: str) -> None:
    answer = ask(server.http + path)
    assert answer.status in (400, 404)
    assert answer.headers["content-type"] == "application/problem+json" and answer.headers["cache-control"] == "no-store"
    problem = answer.json
    assert problem["status"] == answer.status and problem["code"] in ("INVALID_ARGUMENT", "NOT_FOUND")
    assert "\n" not in problem["detail"] and len(problem["detail"]) < 4000 and "Traceback" not in problem["detail"]


def test_wrong_methods_are_refused_and_name_the_right_ones(server: ServerAddress) -> None:
    answer = ask(server.http + "/worlds", "DELETE")
    assert answer.status == 405 and set(answer.headers["allow"].replace(" ", "").split(",")) == {"GET", "HEAD"}
    assert answer.headers["content-type"] == "application/problem+json"


def test_problems_have_the_statuses_of_the_one_table(server: ServerAddress) -> None:
    by_code = {codes.grpc: codes.http for codes in CODES.values()}
    problem = ask(server.http + "/earth/tiles/0/0/0.glb?segments=65").json
    assert by_code[problem["code"]] == problem["status"] == 400


def test_the_description_is_true(server: ServerAddress) -> None:
    document = get(server.http, "/openapi.json").json
    assert document["openapi"].startswith("3.1")
    page = get(server.http, "/docs").body.decode()
    examples = set(re.findall(r'href="(/[^"]*)"', page))
    assert {"/openapi.json", "/worlds", "/healthz", "/metrics", "/earth/tileset.json"} <= examples
    assert not re.findall(r"https?://|<script", page)
    for path, methods in document["paths"].items():
        assert methods["get"]["summary"] and methods["get"]["operationId"]
        assert {item["name"] for item in methods["get"]["parameters"] if item["in"] == "path"} == set(re.findall(r"{(\w+)}", path))
    for example in sorted(examples - {"/openapi.json"}):
        answer = get(server.http, example.replace("&amp;", "&"))
        declared = {kind for methods in document["paths"].values() for kind in methods["get"]["responses"]["200"]["content"]}
        assert answer.headers["content-type"].split(";")[0] in declared


def metrics(server: ServerAddress) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """All samples by name and labels."""
    text = get(server.http, "/metrics").body.decode()
    families = text_string_to_metric_families(text)
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for family in families for sample in family.samples}


def total(server: ServerAddress, name: str, **labels: str) -> float:
    """Sum of the samples of a name that have these labels."""
    return sum(value for (found, have), value in metrics(server).items() if found == name and labels.items() <= dict(have).items())


def eventually(condition: Callable[[], bool]) -> None:
    """Waits until something is true, for at most a minute."""
    deadline = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < deadline, "it did not come true within a minute"
        time.sleep(0.02)


def test_requests_are_counted_and_timed_by_route_and_status(server: ServerAddress) -> None:
    route = {"route": "/{world}/tiles/{z}/{x}/{y}.glb"}
    count = "terraloom_http_request_seconds_count"
    before = total(server, count, status="200", **route), total(server, count, status="404", **route)
    generated = total(server, "terraloom_contents_total", source="generated")
    body = get(server.http, "/earth/tiles/2/1/1.glb?quality=71").body
    remembered = total(server, "terraloom_contents_total", source="memory")
    assert get(server.http, "/earth/tiles/2/1/1.glb?quality=71").body == body
    assert ask(server.http + "/earth/tiles/2/4/1.glb").status == 404
    assert (total(server, count, status="200", **route), total(server, count, status="404", **route)) == (before[0] + 2, before[1] + 1)
    assert total(server, "terraloom_contents_total", source="generated") > generated
    assert total(server, "terraloom_contents_total", source="memory") > remembered
    assert total(server, "terraloom_generation_seconds_count") > 0 and total(server, "terraloom_encoding_seconds_count", kind="content") > 0
    assert total(server, "terraloom_http_sent_bytes_total", **route) >= 2 * len(body)
    assert total(server, "terraloom_worlds") >= 1


def test_two_hundred_cold_requests_at_once_are_all_answered(server: ServerAddress) -> None:
    shapes = ("segments=32", "segments=128", "quality=61", "texture=none")
    wanted = [(f"4/{index % 8}/{index // 8}", shape) for index in range(50) for shape in shapes]
    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(lambda one: ask(f"{server.http}/earth/tiles/{one[0]}.glb?{one[1]}"), wanted))
    assert [answer.status for answer in answers] == [200] * 200
    documents = [json.loads(answer.body[20 : 20 + int.from_bytes(answer.body[12:16], "little")]) for answer in answers]
    assert [document["asset"]["extras"]["tile"] for document in documents] == [tile for tile, _ in wanted]


def test_who_comes_too_many_is_asked_to_come_back_and_who_leaves_is_forgotten() -> None:
    """On a server of its own: its queue fills with tiles far down that nobody waits for in the end."""
    with run_server(http=True) as server:
        host, port = urlsplit(server.http).hostname, urlsplit(server.http).port
        crowd = []
        for index in range(MOST_WAITING):
            connection = socket.create_connection((host, port), timeout=60.0)
            connection.sendall(f"GET /earth/tiles/16/{index}/30000.glb HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            crowd.append(connection)
        eventually(lambda: total(server, "terraloom_http_waiting") == MOST_WAITING)
        refused = ask(server.http + "/earth/tiles/16/9000/30000.glb")
        assert refused.status == 429 and int(refused.headers["retry-after"]) >= 1
        assert refused.json["code"] == "RESOURCE_EXHAUSTED" and "try again" in refused.json["detail"]
        assert get(server.http, "/healthz").json == {"status": "ok"}
        assert get(server.http, "/earth/tiles/2/1/1.glb").body[:4] == b"glTF"  # what is coarse comes all the same
        for connection in crowd:
            connection.close()
        eventually(lambda: total(server, "terraloom_http_waiting") == 0 and total(server, "terraloom_queue_tiles") == 0)
        outcome = {name: total(server, "terraloom_tiles_total", outcome=name) for name in ("generated", "dropped", "cancelled", "unwanted")}
        assert outcome["dropped"] > MOST_WAITING - 100 and sum(outcome.values()) == MOST_WAITING + 1


def test_admission_is_given_back_by_those_who_fail() -> None:
    admission = Admission(1)
    with pytest.raises(ZeroDivisionError), admission():
        _ = 1 // 0
    with admission(), pytest.raises(ResourceExhaustedError, match="try again later"), admission():
        pass
    assert admission.waiting == 0


def test_a_stopped_server_lets_go_of_its_connections() -> None:
    with run_server(http=True) as server:
        keep = socket.create_connection((urlsplit(server.http).hostname, urlsplit(server.http).port), timeout=60.0)
        keep.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert keep.recv(1).startswith(b"H")
    with keep, keep.makefile("rb") as rest:
        assert rest.read().endswith(b'{"status":"ok"}')
