"""Errors become problem+json (RFC 9457), here and nowhere else; statuses come from the table of `terraloom.errors`."""

import logging
import math
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from terraloom.errors import InvalidArgumentError, TerraloomError, codes

__all__ = ["RETRY_SECONDS", "problem", "problem_of_defect", "problem_of_http"]

RETRY_SECONDS = 2.0
"""When a client that was turned away is asked to come back."""
TRY_AGAIN = (429, 503)

_log = logging.getLogger(__name__)


def problem(request: Request, error: Exception) -> Response:
    """An error of the tree. `status` is HTTP's, `code` gRPC's; `field` and `allowed` say what was wrong with an argument."""
    code = codes(error)
    extra: dict[str, object] = {"code": code.grpc}
    if isinstance(error, InvalidArgumentError):
        extra |= {"field": error.field} if error.field else {}
        extra |= {"allowed": list(error.allowed)} if error.allowed else {}
    return _problem(code.http, str(error), extra, math.ceil(getattr(error, "retry_after", None) or RETRY_SECONDS))


def problem_of_http(request: Request, error: Exception) -> Response:
    """What the router has to say: no such path, no such method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        detail = f"there is nothing at {request.url.path}: /openapi.json lists what there is"
        return _problem(404, detail, {"code": "NOT_FOUND"})
    response = _problem(error.status_code, error.detail, {})
    response.headers.update(error.headers or {})
    return response


def problem_of_defect(request: Request, error: Exception) -> Response:
    """A defect of ours: logged, and told without its text."""
    if isinstance(error, TerraloomError):
        return problem(request, error)
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _problem(500, "internal error: see the server's log", {"code": "INTERNAL"})


def _problem(status: int, detail: str, extra: dict[str, object], retry_after: int = math.ceil(RETRY_SECONDS)) -> Response:
    titles = {499: "Client Closed Request"}
    title = titles.get(status) or HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **extra}
    headers = {"Cache-Control": "no-store"} | ({"Retry-After": str(retry_after)} if status in TRY_AGAIN else {})
    return JSONResponse(body, status, headers, media_type="application/problem+json")
