"""Operations: the calls for whoever runs the server."""

from importlib.metadata import version
from itertools import pairwise
from typing import Any

import grpc
from prometheus_client import Histogram

from terraloom.v1 import operations_pb2 as ops
from terraloom.v1 import world_pb2 as pb
from terraloom.v1.operations_pb2_grpc import OperationsServicer
from terraloom_engines.server.callers import CALLER, Caller
from terraloom_engines.server.metrics import CONTENTS, ENCODING, GENERATION, MARGIN, SEND
from terraloom_engines.server.plans import COLLISION
from terraloom_engines.server.sessions import AnySession
from terraloom_engines.server.state import OUTCOMES, State
from terraloom_engines.waste import SchedulerCounters
from terraloom_engines.world import World

__all__ = ["Operations"]

LISTED_SESSIONS = 64


class Operations(OperationsServicer):
    """Answers operators; raises PermissionDeniedError for everybody else."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def GetServerStats(  # noqa: N802
        self, request: ops.GetServerStatsRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> ops.ServerStats:
        CALLER.get().require_operator()
        state, sessions = self._state, self._state.sessions.all
        listed = sessions[::-1][: request.max_sessions or LISTED_SESSIONS]
        return ops.ServerStats(
            server_version=version("terraloom"),
            runtime=state.worlds.default.world.runtime_identity,
            uptime=state.uptime,
            sessions_open=len(sessions),
            sessions=[_session(session, state.sessions.caller_of(session)) for session in listed],
            worlds=[_world(served.world, served.contents.scheduler.counters) for served in state.worlds.opened],
            callers=[_caller(caller) for caller in state.callers.all],
            tiles_queued={work_class.name: count for work_class, count in state.queued().items()},
            contents={source: int(CONTENTS.labels(source)._value.get()) for source in ("memory", "store", "generated")},
            cache_bytes=state.worlds.cache_bytes,
            generation_seconds=_distribution(GENERATION),
            encoding_seconds=_distribution(ENCODING),
            sending_seconds=_distribution(SEND),
            margin_seconds=_distribution(MARGIN),
            calls_denied=state.callers.denied,
            bytes_unacknowledged=sum(session.window.bytes for session in sessions),
        )


def _session(session: AnySession, caller: str) -> ops.SessionSummary:
    sent = session.tally.counts
    return ops.SessionSummary(
        session_id=session.name,
        client=session.client,
        caller=caller,
        world=pb.WorldId(name=session.world.name, seed=session.world.seed),
        seconds=session.tally.seconds,
        collision=session.classes == COLLISION,
        tiles_sent=sent.tiles_sent,
        bytes_sent=sent.bytes_sent,
        tiles_wasted=sent.tiles_wasted,
        tiles_held=len(session.held),
        tiles_wanted=session.lacking,
        bytes_unacknowledged=session.window.bytes,
        attached=session.attached,
    )


def _world(world: World, counters: SchedulerCounters) -> ops.WorldSummary:
    names = {f"tiles_{outcome}": getattr(counters, outcome) for outcome in OUTCOMES}
    wasted = counters.wasted_seconds - counters.reclaimed_seconds
    busy = counters.busy_seconds
    return ops.WorldSummary(world=pb.WorldId(name=world.name, seed=world.seed), **names, busy_seconds=busy, wasted_seconds=wasted)


def _caller(caller: Caller) -> ops.CallerSummary:
    had = caller.allowance
    return ops.CallerSummary(name=caller.name, sessions=caller.sessions, tiles=had.tiles, bytes=had.bytes, refused=had.refused)


def _distribution(histogram: Histogram) -> ops.Distribution:
    """All series of a histogram together."""
    counts: dict[float, int] = {}
    total = 0.0
    for sample in (sample for family in histogram.collect() for sample in family.samples):
        if sample.name.endswith("_bucket"):
            bound = float(sample.labels["le"])
            counts[bound] = counts.get(bound, 0) + int(sample.value)
        elif sample.name.endswith("_sum"):
            total += sample.value
    bounds = sorted(counts)
    cumulative = [0, *(counts[bound] for bound in bounds)]
    parts = [later - earlier for earlier, later in pairwise(cumulative)]
    return ops.Distribution(bounds=bounds[:-1], counts=parts, sum=total)
