"""The two networks of the refine step as torch modules; exported to ONNX, they carry their preprocessing along.

Both work at the parent's resolution (the four children of a parent pixel are channels) and use unpadded convolutions only, so
that the receptive field is bounded by shape: `HALO` parent pixels are lost on every side, and no pixel beyond can matter.
There is no normalisation, no attention and no position: every output pixel is the same function of its neighbourhood.

Children are ordered north-west, north-east, south-west, south-east. Details are the three Haar coefficients of the four children
(west-east, north-south, diagonal), whose squares add up to the variance between the children.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from terraloom_engines import slope_noise
from terraloom_engines.device.slope_noise import along_slopes
from terraloom_engines.upsampling import REACH, TAPS

LN2 = 0.6931471805599453
HALO = 12
"""Parent pixels lost on each side: 1 to neighbour differences, 10 to convolutions, 1 to keep the stride's parity."""
NOISE_EXTRA = 3
"""Noise channels beside the noised sample: they make one step a draw, not a mean (distributional diffusion, arXiv 2502.02483)."""
HAAR = torch.tensor([[-1.0, -1.0, 1.0], [1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [1.0, 1.0, 1.0]])
"""Child offsets (4) from details (3)."""
SPREAD_MEAN, SPREAD_SCALE = -0.9, 0.6
"""Centre and width of log2(child spread / parent spread), for unit-variance samples."""
DETAIL_SCALE = 0.45
"""Typical size of a detail in units of the parent's spread."""
STEEPEST = 24.0
"""Most that a smooth detail may be, in typical details: only cliffs between pixels that believe to be flat reach it."""


def crop(values: Tensor, margin: int) -> Tensor:
    """Drop `margin` pixels on every side of the last two axes."""
    return values[..., margin : values.shape[-2] - margin, margin : values.shape[-1] - margin] if margin else values


def squash(values: Tensor) -> Tensor:
    """Compress large ratios smoothly: x / (1 + |x| / 4)."""
    return values / (1 + values.abs() / 4)


def neighbour_differences(values: Tensor) -> Tensor:
    """(N, 1, h, w) to (N, 8, h-2, w-2): the eight neighbours minus the centre."""
    height, width = values.shape[-2] - 2, values.shape[-1] - 2
    offsets = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (2, 2)]
    centre = crop(values, 1)
    return torch.cat([values[..., dy : dy + height, dx : dx + width] - centre for dy, dx in offsets], dim=1)


def tilt_details(values: Tensor) -> Tensor:
    """Details of the plane through the four neighbours: (N, 1, h, w) to (N, 3, h-2, w-2)."""
    east_west = (values[..., 1:-1, 2:] - values[..., 1:-1, :-2]) / 8
    south_north = (values[..., 2:, 1:-1] - values[..., :-2, 1:-1]) / 8
    twist = (values[..., 2:, 2:] - values[..., 2:, :-2] - values[..., :-2, 2:] + values[..., :-2, :-2]) / 64
    return torch.stack([east_west, south_north, twist], dim=2).flatten(1, 2)


def smooth_details(values: Tensor) -> Tensor:
    """Details of the smooth upsampling up(P) - P per channel: (N, C, h, w) to (N, 3C, h - 2 REACH, w - 2 REACH).

    As `terraloom_engines.upsampling` has it.
    """
    rows, columns = slice(REACH, values.shape[-2] - REACH), slice(REACH, values.shape[-1] - REACH)
    across = _half_difference(values, -1)
    east_west, south_north = across[..., rows, :], _half_difference(values, -2)[..., columns]
    return torch.stack([east_west, south_north, _half_difference(across, -2)], dim=2).flatten(1, 2)


def _half_difference(values: Tensor, axis: int) -> Tensor:
    """Half the difference of a pixel's two halves along an axis, which loses `REACH` pixels at both ends."""
    side = values.shape[axis] - 2 * REACH
    parts = [
        tap * (values.narrow(axis, REACH + step, side) - values.narrow(axis, REACH - step, side)) for step, tap in enumerate(TAPS, start=1)
    ]
    return parts[0] + parts[1] + parts[2]


def extra_noise(model: nn.Module, conditions: dict[str, Tensor]) -> Tensor:
    """What a network's noise has beyond the noised sample, (N, C, n, n), for conditions that include elevation (N, 1, n, n) or colour."""
    given = conditions["elevation"] if "elevation" in conditions else conditions["colour"]
    count, _, rows, columns = given.shape
    extra = torch.randn(count, NOISE_EXTRA, rows, columns, device=given.device)
    if int(model.noise_channels) == int(model.channels) + NOISE_EXTRA:
        return extra
    around = 2 * slope_noise.MARGIN
    white = torch.randn(count, slope_noise.CHANNELS, rows + around, columns + around, device=given.device)
    return torch.cat([extra, along_slopes(white, given.float())], dim=1)


class ResidualBlock(nn.Module):
    """Two unpadded 3x3 convolutions beside a cropped skip: loses 2 pixels a side."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3)
        self.second = nn.Conv2d(width, width, 3)

    def forward(self, values: Tensor) -> Tensor:
        return crop(values, 2) + self.second(functional.leaky_relu(self.first(values), 0.1))


class LocalUNet(nn.Module):
    """A UNet of two levels with unpadded convolutions: loses 10 pixels a side; input sides must be even.

    Processors with vectors of 16 numbers compute channels by sixteens: 40 cost what 48 do.
    """

    def __init__(self, inputs: int, outputs: int, width: int, coarse: int = 0) -> None:
        """`width` channels at full resolution, `coarse` at half of it (0: twice as many)."""
        super().__init__()
        wide = coarse or 2 * width
        self.enter = nn.Conv2d(inputs, width, 3)
        self.local = nn.Conv2d(width, width, 3)
        self.down = nn.Conv2d(width, wide, 2, stride=2)
        self.block = ResidualBlock(wide)
        self.wide = nn.Conv2d(wide, wide, 3)
        self.up = nn.ConvTranspose2d(wide, width, 2, stride=2)
        self.merge = nn.Conv2d(width, width, 3)
        self.final = nn.Conv2d(width, width, 3)
        self.leave = nn.Conv2d(width, outputs, 1)
        nn.init.zeros_(self.leave.bias)
        with torch.no_grad():
            self.leave.weight.mul_(0.3)

    def forward(self, values: Tensor) -> Tensor:
        fine = functional.leaky_relu(self.enter(values), 0.1)
        fine = functional.leaky_relu(self.local(fine), 0.1)
        coarse = functional.leaky_relu(self.down(fine), 0.1)
        coarse = functional.leaky_relu(self.block(coarse), 0.1)
        coarse = functional.leaky_relu(self.wide(coarse), 0.1)
        merged = functional.leaky_relu(crop(fine, 6) + self.up(coarse), 0.1)
        merged = functional.leaky_relu(self.merge(merged), 0.1)
        merged = functional.leaky_relu(self.final(merged), 0.1)
        return self.leave(merged)


class GeometryRefiner(nn.Module):
    """p(H_z | H_{z-1}, I_z): four heights and four spreads below every parent pixel (dimensional lifting)."""

    channels = 7
    """A sample: 3 details of elevation, 4 log2 ratios of child spread to parent spread; each normalised to unit variance."""
    noise_channels = channels + NOISE_EXTRA + slope_noise.CHANNELS
    """The noised sample, extra noise, and noise drawn out along the parents' slopes (`terraloom_engines.slope_noise`)."""

    def __init__(self, width: int = 48, coarse: int = 0) -> None:
        super().__init__()
        self.width = width
        self.body = LocalUNet(self.noise_channels + 1 + 25, self.channels, width, coarse)

    def forward(self, noise: Tensor, time: Tensor, elevation: Tensor, relief: Tensor, land: Tensor, gsd: Tensor, imagery: Tensor) -> Tensor:
        """One denoised draw of the sample, shape (N, 7, n - 24, n - 24).

        noise (N, 18, n, n), see `noise_channels`; time (N, 1, 1, 1) in (0, 1]; elevation (N, 1, n, n) metres; relief
        (N, 1, n, n) log2 of the spread in metres; land (N, 1, n, n) in 0..1; gsd (N, 1, n, 1) log2 of the child's metres per pixel;
        imagery (N, 13, n, n): the children's colours in -1..1 (child-major) and 1 where they are known, all 0 where they are not.
        """
        spread = torch.exp(relief * LN2)
        inner = crop(spread, 1)
        gsd = gsd.expand(-1, -1, -1, elevation.shape[-1])
        context = torch.cat(
            [
                squash(neighbour_differences(elevation) / inner),
                crop((relief - gsd + 3.5) / 2.5, 1),
                crop((gsd - 7.0) / 4.0, 1),
                crop(land, 1),
                crop(squash(elevation / spread / 2) / 2, 1),
                crop(imagery, 1),
                crop(noise[:, : -slope_noise.CHANNELS], 1),
                time.expand(-1, -1, noise.shape[-2] - 2, noise.shape[-1] - 2),
                crop(noise[:, -slope_noise.CHANNELS :], 1),
            ],
            dim=1,
        )
        residual = crop(self.body(context), 1)
        smooth = crop((smooth_details(elevation) / crop(spread, REACH) / DETAIL_SCALE).clamp(-STEEPEST, STEEPEST), HALO - REACH)
        return torch.cat([residual[:, :3] + smooth, residual[:, 3:]], dim=1)


class ImageryRefiner(nn.Module):
    """p(I_z | I_{z-1}, H_z): four colours and four texture spreads below every parent pixel (scale-space transition)."""

    channels = 13
    """A sample: 9 details (3 for each of red, green, blue), 4 log2 ratios of child spread to parent spread."""
    noise_channels = channels + NOISE_EXTRA
    """The noised sample and extra noise."""

    def __init__(self, width: int = 48, coarse: int = 0) -> None:
        super().__init__()
        self.width = width
        self.body = LocalUNet(self.noise_channels + 1 + 23, self.channels, width, coarse)

    def forward(self, noise: Tensor, time: Tensor, colour: Tensor, texture: Tensor, land: Tensor, gsd: Tensor, geometry: Tensor) -> Tensor:
        """One denoised draw of the sample, shape (N, 13, n - 24, n - 24).

        noise (N, 16, n, n); time as above; colour (N, 3, n, n) in 8-bit steps; texture (N, 1, n, n) log2 of the luminance's spread in
        8-bit steps; land, gsd as above; geometry (N, 6, n, n): parent elevation in metres, log2 spread in metres, the 3 details of the
        children's elevation in metres, and 1 where geometry is known (all 0 where it is not).
        """
        spread = torch.exp(texture * LN2)
        inner = crop(spread, 1)
        light = colour.mean(dim=1, keepdim=True)
        gsd = gsd.expand(-1, -1, -1, colour.shape[-1])
        elevation, relief, details, known = geometry[:, :1], geometry[:, 1:2], geometry[:, 2:5], geometry[:, 5:]
        metres = torch.exp(gsd * LN2)
        context = torch.cat(
            [
                crop(colour / 128 - 1, 1),
                squash(neighbour_differences(light) / inner),
                crop((texture - 2.5) / 2, 1),
                crop((gsd - 7.0) / 4.0, 1),
                crop(land, 1),
                crop(known, 1),
                crop(known * squash(elevation / 1000), 1),
                crop(known * (relief - gsd + 3.5) / 2.5, 1),
                crop(squash(details / metres * 8), 1),
                squash(tilt_details(elevation) / crop(metres, 1) * 8),
                crop(noise, 1),
                time.expand(-1, -1, noise.shape[-2] - 2, noise.shape[-1] - 2),
            ],
            dim=1,
        )
        residual = crop(self.body(context), 1)
        smooth = crop((smooth_details(colour) / crop(spread, REACH) / DETAIL_SCALE).clamp(-STEEPEST, STEEPEST), HALO - REACH)
        return torch.cat([residual[:, :9] + smooth, residual[:, 9:]], dim=1)
