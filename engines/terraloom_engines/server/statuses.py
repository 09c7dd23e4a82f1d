"""Errors become gRPC statuses, here and nowhere else: an interceptor round every call.

The status comes from the table of `terraloom.errors`; an `ErrorDetail` goes with it as rich status (google.rpc.Status), and where waiting
helps a google.rpc.RetryInfo. What is not of the error tree is a defect: it is logged with its traceback and answers INTERNAL.
"""

import inspect
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, nullcontext
from datetime import timedelta
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from terraloom.errors import TerraloomError
from terraloom_engines.server.bounds import check_bounds
from terraloom_engines.server.decoding import decoder, require_decoded
from terraloom_engines.server.replies import error_detail
from terraloom_engines.spans import is_on, span

_log = logging.getLogger(__name__)


class StatusInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Wraps the handlers of all calls, whether they answer once or stream."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["grpc.RpcMethodHandler[Any, Any]"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any]":
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        kinds = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }
        behaviour: Any = handler.stream_stream or handler.unary_stream or handler.unary_unary
        _, service, name = handler_call_details.method.split("/")
        answers_many = inspect.isasyncgenfunction(behaviour)  # or it writes what it answers, as health watches do
        wrapped = _answers_many(behaviour) if answers_many else _answers_once(name, behaviour, traced=service.startswith("terraloom."))
        make = kinds[handler.request_streaming, handler.response_streaming]
        return make(wrapped, decoder(handler.request_deserializer), handler.response_serializer)


def carrier_of(context: "grpc.aio.ServicerContext[Any, Any]") -> dict[str, str]:
    """The caller's headers that are texts."""
    return {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}


def _answers_once(name: str, behaviour: Callable[..., Awaitable[object]], *, traced: bool) -> Callable[..., Awaitable[object]]:
    async def call(request: object, context: "grpc.aio.ServicerContext[Any, Any]") -> object:
        try:
            _checked(request)
            with span(name, carrier_of(context) if is_on() else None) if traced else nullcontext():
                return await behaviour(request, context)
        except Exception as error:
            await abort(context, error)
            raise

    return call


def _answers_many(behaviour: Callable[..., AsyncGenerator[object, None]]) -> Callable[..., AsyncIterator[object]]:
    async def call(request: object, context: "grpc.aio.ServicerContext[Any, Any]") -> AsyncIterator[object]:
        try:
            async with aclosing(behaviour(_checked(request), context)) as answers:
                async for answer in answers:
                    yield answer
        except Exception as error:
            await abort(context, error)

    return call


def _checked(request: Any) -> Any:
    """A request within its bounds, or a stream of them, which are checked as they come. Raises InvalidArgumentError."""
    if hasattr(request, "__aiter__"):
        return _each_checked(request)
    require_decoded(request)
    check_bounds(request)
    return request


async def _each_checked(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _checked(request)


async def abort(context: "grpc.aio.ServicerContext[Any, Any]", error: Exception) -> None:
    """Ends the call with the status of `error`; raises grpc's own exception, which is how it ends calls."""
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if not isinstance(error, TerraloomError):
        _log.error("a call failed", exc_info=error)
    detail = error_detail(error)
    code = grpc.StatusCode[detail.status]
    status = status_pb2.Status(code=code.value[0], message=detail.message, details=[_packed(detail)])
    if isinstance(error, TerraloomError) and error.retry_after is not None:
        info = error_details_pb2.RetryInfo()
        info.retry_delay.FromTimedelta(timedelta(seconds=error.retry_after))
        status.details.append(_packed(info))
    await context.abort(code, detail.message, (("grpc-status-details-bin", status.SerializeToString()),))


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
