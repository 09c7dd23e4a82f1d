"""The gRPC face: sessions that follow viewpoints, unary calls, health and reflection.

Read it in this order:

    checks      ranges of numbers that come from outside
    bounds      how long every field of a request may be
    decoding    bytes that are no message, told as such
    abreast     a lot done by a few tasks
    admission   how much of what calls ask for may be in hand
    logs        one line an event
    certificates  who the server is, and whose clients it takes
    rates       how much a caller may have a second
    tokens      who may call, from a file
    callers     whose call it is
    pipe        bandwidth and delay of a connection, measured
    credit      how much may be under way
    requests    messages of the wire to values, checked
    replies     values to messages of the wire
    metrics     what is counted and timed
    margins     how early or late tiles are
    contents    tiles as encoded messages: cached, stored, generated once for all
    worlds      opened when first asked for, sharing networks, memory and threads
    coverage    which held tiles to draw
    tally       what a session sent
    ready       contents that wait to be sent
    standins    tiles made from coarser ground at a deadline
    viewpoints  the newest view of each, by name
    session     one client's viewpoints: what they need, what it holds, what is sent next
    lockstep    the same step by step, for those who must be able to repeat it
    sessions    all of them by name
    sampling    heights of many places
    barrier     wait until a region is there
    statuses    errors to gRPC statuses
    state       what is true at the moment of asking
    operations  the calls for whoever runs the server
    access      every call belongs to a caller
    servicer    the calls
    app         a server from start to drain
"""

from terraloom_engines.server.app import Server, ServerOptions
from terraloom_engines.server.certificates import TlsFiles

__all__ = ["Server", "ServerOptions", "TlsFiles"]
