"""What a barrier waits for."""

from dataclasses import dataclass

from terraloom._options import StreamOptions
from terraloom._view import AnyView
from terraloom.v1 import terraloom_pb2 as pb


@dataclass(frozen=True, slots=True)
class Region:
    """The tiles of `level` that touch a rectangle: in degrees, where west > east crosses the antimeridian, or in metres on a plane."""

    west: float
    south: float
    east: float
    north: float
    level: int


def barrier_message(where: Region | AnyView | str, options: StreamOptions, world: pb.WorldId, deadline: float) -> pb.BarrierRequest:
    """The request to wait for a region, for what `options` select from a view, or for a session (its id)."""
    request = pb.BarrierRequest(world=world, content=options.content.message(), deadline=deadline)
    if isinstance(where, Region):
        request.region.CopyFrom(pb.Rectangle(west=where.west, south=where.south, east=where.east, north=where.north))
        request.level = where.level
    elif isinstance(where, AnyView):
        request.view.CopyFrom(where.message(0))
        request.selection.CopyFrom(options.selection_message())
    else:
        request.session_id = where
    return request
