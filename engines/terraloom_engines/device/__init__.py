"""The whole step on one device: noise, networks, bounds and rounding by torch, so that only finished integers cross to the host.

Each function repeats, operation by operation, one of numpy's elsewhere in this package, and a test holds the two to equal bits. It is
torch, not CuPy, which could run numpy's lines as they are: torch runs the same code on a processor, where it is tested, and has the
networks.

The modules are listed in the order of the flow: `noise`, `finishing`, `guidance`, `exposure`, `cover`, `rules`, `program`, `steps`.
"""
