"""Access: every gRPC call but those for health belongs to a caller, or is refused. An interceptor inside that of the statuses."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from terraloom.errors import UnauthenticatedError
from terraloom_engines.server.callers import CALLER, Callers
from terraloom_engines.server.statuses import abort

__all__ = ["AccessInterceptor"]

OPEN = "/grpc.health.v1.Health/"
"""Who balances loads has no token."""


class AccessInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Finds the caller and sets `CALLER` for the task that serves the call."""

    def __init__(self, callers: Callers) -> None:
        self._callers = callers

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["grpc.RpcMethodHandler[Any, Any]"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any]":
        if handler_call_details.method.startswith(OPEN):
            return await continuation(handler_call_details)
        given = next((value for key, value in handler_call_details.invocation_metadata or () if key == "authorization"), None)
        try:
            CALLER.set(self._callers.authenticate(given if isinstance(given, str) else None))
        except UnauthenticatedError as error:
            handler = await continuation(handler_call_details)
            return handler and self._refusal(handler, error)
        return await continuation(handler_call_details)

    def _refusal(self, handler: "grpc.RpcMethodHandler[Any, Any]", error: UnauthenticatedError) -> "grpc.RpcMethodHandler[Any, Any]":
        """A handler of the same kind that ends every call with `error`."""

        async def once(_request: object, context: "grpc.aio.ServicerContext[Any, Any]") -> None:
            self._callers.deny(error, context.peer())
            await abort(context, error)

        async def many(request: object, context: "grpc.aio.ServicerContext[Any, Any]") -> AsyncIterator[object]:
            await once(request, context)
            yield None  # which makes it a generator, as the answers of a stream are

        if handler.response_streaming:
            make = grpc.stream_stream_rpc_method_handler if handler.request_streaming else grpc.unary_stream_rpc_method_handler
            return make(many, handler.request_deserializer, handler.response_serializer)
        return grpc.unary_unary_rpc_method_handler(once, handler.request_deserializer, handler.response_serializer)
