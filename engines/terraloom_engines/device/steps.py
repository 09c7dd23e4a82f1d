"""Steps of the cascade on a device: fields go up when they are not there yet, and come down finished."""

import weakref
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from terraloom_engines.cascade import place_in_field, step_window
from terraloom_engines.device.program import Program, frame
from terraloom_engines.field import Field
from terraloom_engines.tiling import TILE_SIZE, TileId

FIELDS_ON_DEVICE = 48
"""Fields that were made or asked for last, about 4 MB each, kept for their children: below 200 MB."""

Steps = NDArray[np.int32]


class DeviceFields:
    """Copies on a device of the fields used last, by their arrays, which nobody writes to once they are finished."""

    def __init__(self, device: torch.device, capacity: int = FIELDS_ON_DEVICE) -> None:
        self._device, self._capacity = device, capacity
        self._kept: OrderedDict[int, tuple[weakref.ref[Steps], Tensor]] = OrderedDict()

    def get(self, field: Field) -> Tensor:
        """The field's rasters on the device, copied there unless they still are."""
        known = self._kept.get(id(field.data))
        if known is not None and known[0]() is field.data:  # else the array is gone, and another lies where it lay
            self._kept.move_to_end(id(field.data))
            return known[1]
        rasters = torch.from_numpy(np.require(field.data, requirements=["C", "W"])).to(self._device)
        self.put(field, rasters)
        return rasters

    def put(self, field: Field, rasters: Tensor) -> None:
        """Remember the copy of a field; the one that was unused longest is given up for it."""
        self._kept[id(field.data)] = weakref.ref(field.data), rasters
        self._kept.move_to_end(id(field.data))
        while len(self._kept) > self._capacity:
            self._kept.popitem(last=False)

    def __len__(self) -> int:
        return len(self._kept)


class DeviceStep:
    """A step of one world: a program, which all worlds share, and the seed of its noise. One thread at a time."""

    def __init__(self, program: Program, kept: DeviceFields, seed: int) -> None:
        self._program, self._kept, self._seed = program, kept, seed

    @property
    def loss(self) -> int:
        """Parent pixels lost on each side."""
        return self._program.loss

    def fields(self, parent: Field, children: Sequence[TileId], known: Steps | None) -> list[Field]:
        """As every step does; what is copied to the host are the finished fields."""
        window, side = step_window(parent, children, self.loss), TILE_SIZE + 4 * self.loss
        rows, columns = place_in_field(parent, window)
        place = frame(window, self._program.specs["geometry"], self._seed)
        with torch.inference_mode():
            below = None if known is None else self._sent(known)
            made = self._program.run(self._kept.get(parent)[:, rows, columns], self._sent(place), below)
            parts = []
            for tile in children:
                left, top = (tile.x - children[0].x) * TILE_SIZE, (tile.y - children[0].y) * TILE_SIZE
                parts.append(made[:, top : top + side, left : left + side].clone(memory_format=torch.contiguous_format))
            arrays = self._received(parts)
        fields = [Field(tile, 2 * self.loss, data) for tile, data in zip(children, arrays, strict=True)]
        for field, part in zip(fields, parts, strict=True):
            self._kept.put(field, part)
        return fields

    def _sent(self, values: Steps) -> Tensor:
        """On its way to the device, where it is another."""
        tensor = torch.from_numpy(np.require(values, requirements=["C", "W"]))
        return tensor.pin_memory().to(self._program.device, non_blocking=True) if self._program.device.type == "cuda" else tensor

    def _received(self, parts: Sequence[Tensor]) -> list[Steps]:
        """On the host, in memory that the device writes to by itself; it is the fields' own, and goes with them."""
        if self._program.device.type != "cuda":
            return [part.clone().numpy() for part in parts]
        pinned = [torch.empty(part.shape, dtype=part.dtype, pin_memory=True) for part in parts]
        for target, part in zip(pinned, parts, strict=True):
            target.copy_(part, non_blocking=True)
        torch.cuda.current_stream().synchronize()
        return [target.numpy() for target in pinned]
