"""What a barrier waits for."""

from terraloom._options import Region, StreamOptions
from terraloom._view import AnyView
from terraloom.v1 import terraloom_pb2 as pb


def barrier_message(where: Region | AnyView | str, options: StreamOptions, world: pb.WorldId, deadline: float) -> pb.BarrierRequest:
    """The request to wait for a region, for what `options` select from a view, or for a session (its id)."""
    request = pb.BarrierRequest(world=world, content=options.content.message(), deadline=deadline)
    if isinstance(where, Region):
        request.region.CopyFrom(where.message())
        request.level = where.level
    elif isinstance(where, AnyView):
        request.view.CopyFrom(where.message(0))
        request.selection.CopyFrom(options.selection_message())
    else:
        request.session_id = where
    return request
