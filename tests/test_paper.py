"""Stages of the paper's size, at reduced width: folders of diffusers, windows that overlap, integers as every step makes them."""

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from conformance import BUNDLE
from terraloom.errors import NotFoundError
from terraloom_engines.bundle.earth import EarthBase
from terraloom_engines.conservation import split_children
from terraloom_engines.stages import Window
from terraloom_engines.tiling import tile_from_lonlat

if absent := [name for name in ("torch", "diffusers", "transformers") if find_spec(name) is None]:
    pytest.skip(f"{absent[0]} is not installed: pip install 'terraloom[paper]'", allow_module_level=True)

import torch

from terraloom_engines.paper.models import PaperModels, build, count, load, shipped_folder
from terraloom_engines.paper.sampling import Sampler
from terraloom_engines.paper.steps import PaperGenerator, PaperStep
from terraloom_engines.paper.windows import Array, blended, lattice, weights

SIDE = 32
"""Finer pixels along a window, 1 / 8 of the paper's."""
NARROW = {
    "imagery/unet": {
        "sample_size": SIDE, "in_channels": 7, "block_out_channels": [16, 32], "layers_per_block": 1, "norm_num_groups": 8,
        "attention_head_dim": 8,
        "down_block_types": ["DownBlock2D", "AttnDownBlock2D"], "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    },
    "imagery/encoder": {"channels": 4, "width": 16, "layers": 1},
    "geometry/unet": {
        "sample_size": SIDE // 2, "block_out_channels": [16, 32], "layers_per_block": 1, "cross_attention_dim": 32, "norm_num_groups": 8,
        "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"], "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    },
    "geometry/vae": {
        "sample_size": SIDE, "block_out_channels": [16, 32], "layers_per_block": 1, "norm_num_groups": 8,
        "down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2,
    },
    "geometry/text_encoder": {
        "vocab_size": 200, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
        "max_position_embeddings": 16, "bos_token_id": 198, "eos_token_id": 199,
    },
    "imagery/scheduler": {"prediction_type": "sample"}, "geometry/scheduler": {"prediction_type": "sample"},
}  # fmt: skip
"""What is narrower than in `configs/metaearth3d`. Networks that have learnt nothing are to draw, not to say what is noise."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("narrow")
    for path in shipped_folder().rglob("*.json"):
        target = made / path.relative_to(shipped_folder())
        target.parent.mkdir(parents=True)
        target.write_text(json.dumps(json.loads(path.read_text()) | NARROW[target.parent.relative_to(made).as_posix()]))
    return made


@pytest.fixture(scope="module")
def models(folder: Path) -> Iterator[PaperModels]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # for so small tensors several wait for each other
    yield load(folder, random_seed=1)
    torch.set_num_threads(threads)


def test_the_architectures_have_the_paper_s_size() -> None:
    with torch.device("meta"):
        sizes = {part: count(build(shipped_folder(), part)) / 1e6 for part in NARROW if not part.endswith("scheduler")}
    imagery = sizes["imagery/unet"] + sizes["imagery/encoder"]
    geometry = sizes["geometry/unet"] + sizes["geometry/vae"] + sizes["geometry/text_encoder"]
    assert 600 <= imagery < 610 and 1000 <= geometry < 1100


@pytest.mark.parametrize("side", [8, 32])
def test_the_windows_over_a_pixel_weigh_1_together(side: int) -> None:
    assert [*lattice(-3, 9, 8)] == [-8, -4, 0, 4, 8]
    region = Window(9, -5, 3, 5 * side)
    ones = blended(region, side, lambda window: np.ones((1, 2 * window.side, 2 * window.side), np.float32))
    np.testing.assert_allclose(ones, 1, atol=1e-6)
    assert ones.shape == (1, 6 * side, 6 * side) and weights(64)[0] < 0.001


def picture(region: Window) -> Array:
    """Smooth colours in -1..1, of pixels of a level."""
    rows, columns = np.mgrid[region.row : region.row + region.side, region.column : region.column + region.side] / 20
    return np.stack([0.8 * np.sin(columns + band) * np.cos(rows) for band in range(3)]).astype(np.float32)


def steps_at_borders(raster: Array) -> list[float]:
    """Mean step across the borders of windows that lie side by side over that of all other steps: along rows, and along columns."""
    ratios = []
    for values in (raster, raster.swapaxes(1, 2)):
        steps = np.abs(np.diff(values)).mean(axis=(0, 1))
        border = np.arange(1, values.shape[-1]) % SIDE == 0
        ratios.append(float(steps[border].mean() / steps[~border].mean()))
    return ratios


def test_blended_windows_have_no_seams_and_windows_side_by_side_have(models: PaperModels) -> None:
    sampler, region = Sampler(models, steps=1, seed=5), Window(9, 4000, 3008, 80)
    side = sampler.sides[0]

    def draw(window: Window) -> Array:
        return sampler.colours(window, picture(window))

    inner = region.inner(side)
    places = range(0, inner.side, side)
    abreast = [[draw(Window(9, inner.column + x, inner.row + y, side)) for x in places] for y in places]
    seams, none = steps_at_borders(np.block(abreast)), steps_at_borders(blended(region, side, draw))
    assert all(abs(np.log(ratio)) < 0.15 for ratio in none), none
    assert all(abs(np.log(ratio)) > 0.25 for ratio in seams), "the test can see none"


def test_a_step_makes_the_same_integers_wherever_its_window_begins_and_keeps_every_mean(models: PaperModels) -> None:
    parents, loss = (
        EarthBase(BUNDLE.folder).field(tile_from_lonlat(4, 5.4, 60.5), 0).data[:, 60:160, 60:160],
        PaperStep(Sampler(models, 1, 7)).loss,
    )
    made = []
    for top, left, side in ((0, 0, 80), (4, 6, 76)):
        window = Window(4, 2000 + left, 1000 + top, side)
        cut = np.ascontiguousarray(parents[:, top : top + side, left : left + side])
        made.append(PaperStep(Sampler(models, 1, 7)).rasters(window, cut))
    whole, part = made
    assert whole.shape == (8, 2 * (80 - 2 * loss), 2 * (80 - 2 * loss)) and whole.dtype == np.int32
    np.testing.assert_array_equal(whole[:, 8:, 12:], part[:, : whole.shape[1] - 8, : whole.shape[2] - 12])
    inner = parents[:, loss : 80 - loss, loss : 80 - loss]
    for channel in (0, 3, 4, 5):  # elevation and colours
        np.testing.assert_array_equal(split_children(whole[channel]).sum(axis=0), 4 * inner[channel])
    assert whole[3:6].std() > 100 and (whole[3:6] >= 0).all(), "colours were drawn"


def test_a_checkpoint_in_diffusers_format_draws_what_was_saved(models: PaperModels, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"there are no weights .* random ones are used only where they are asked for"):
        load(folder)
    for part, model in (("imagery", models.imagery), ("geometry", models.geometry)):
        model.unet.save_pretrained(tmp_path / part / "unet")
        model.scheduler.save_pretrained(tmp_path / part / "scheduler")
    models.imagery.encoder.save_pretrained(tmp_path / "imagery/encoder")
    models.geometry.vae.save_pretrained(tmp_path / "geometry/vae")
    build(folder, "geometry/text_encoder").save_pretrained(tmp_path / "geometry/text_encoder")
    words = {"<|startoftext|>": 198, "<|endoftext|>": 199} | {letter: i for i, letter in enumerate("abcdefghijklmnopqrstuvwxyz")}
    (tmp_path / "geometry/tokenizer").mkdir()
    (tmp_path / "geometry/tokenizer/vocab.json").write_text(
        json.dumps(words | {f"{letter}</w>": 30 + i for letter, i in words.items() if i < 26})
    )
    (tmp_path / "geometry/tokenizer/merges.txt").write_text("#version: 0.2\n")
    loaded, window = load(tmp_path), Window(9, 4000, 3008, SIDE // 2)
    colours = picture(window)
    np.testing.assert_array_equal(Sampler(loaded, 1, 3).colours(window, colours), Sampler(models, 1, 3).colours(window, colours))
    assert loaded.digest != models.digest and loaded.geometry.prompt.shape == models.geometry.prompt.shape
    identities = {PaperGenerator(models, steps).runtime_identity for steps in (1, 50)}
    assert len(identities) == 2, "what is drawn depends on it"
