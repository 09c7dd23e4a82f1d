"""A narrower network from a wider one: the channels that matter most, to go on learning from.

A channel matters as much as what comes in times what goes out: the norm of the weights that make it by that of the weights that read it
(Li et al. 2017 prune by the first alone, arXiv 1608.08710).
"""

from collections.abc import Mapping

import torch
from torch import Tensor

SPACES = (
    (("enter",), ("local",)), (("local", "up"), ("down", "merge")), (("merge",), ("final",)), (("final",), ("leave",)),
    (("down", "block.second"), ("block.first", "wide")), (("block.first",), ("block.second",)), (("wide",), ("up",)),
)  # fmt: skip
"""Hidden channels of `networks.LocalUNet`: the layers that write them, which add up, and those that read them."""
TRANSPOSED = ("up",)
"""Layers whose weights have inputs first."""


class MismatchError(ValueError):
    """Weights that the wanted network cannot begin with."""


def axis_of(layer: str, *, written: bool) -> int:
    """Of a layer's weight, the axis of the channels that it writes, or reads."""
    return int(written == (layer in TRANSPOSED))


def slimmed(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a network of `wanted`'s shapes out of those of a wider one, names alike; new inputs come last and begin at 0.

    Raises MismatchError where one is wanted that is wider, or that has other outputs.
    """
    if missing := [name for name in wanted if name not in given]:
        raise MismatchError(f"not an exported network: it has no {missing[0]}")
    out = {name: given[name] for name in wanted}
    for writers, readers in SPACES:
        weight = {layer: out[f"body.{layer}.weight"] for layer in (*writers, *readers)}
        count = wanted[f"body.{writers[0]}.bias"].shape[0]
        norms = [
            sum(weight[layer].transpose(0, axis_of(layer, written=written)).flatten(1).norm(dim=1) ** 2 for layer in layers)
            for written, layers in ((True, writers), (False, readers))
        ]
        kept = torch.argsort(torch.as_tensor(norms[0] * norms[1]), descending=True)[:count].sort().values
        for layer in writers:
            out[f"body.{layer}.weight"] = weight[layer].index_select(axis_of(layer, written=True), kept)
            out[f"body.{layer}.bias"] = out[f"body.{layer}.bias"][kept]
        for layer in readers:
            out[f"body.{layer}.weight"] = weight[layer].index_select(axis_of(layer, written=False), kept)
    enter, inputs = out["body.enter.weight"], wanted["body.enter.weight"].shape[1]
    if enter.shape[1] < inputs:
        out["body.enter.weight"] = torch.cat([enter, enter.new_zeros(len(enter), inputs - enter.shape[1], *enter.shape[2:])], dim=1)
    wrong = [name for name, values in wanted.items() if out[name].shape != values.shape]
    if wrong:
        raise MismatchError(f"the given network is no wider one of the same kind: {wrong[0]} is {tuple(given[wrong[0]].shape)}")
    return out
