"""What the critic is shown and what it learns, and training by it: long chains of a network's own output beside real land."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the training extra is tested where it is")

from terraloom_engines.training import adversary, chaining, networks, samples, slimming, train  # noqa: E402
from terraloom_engines.training.adversary import Land  # noqa: E402
from terraloom_engines.training.pyramid import coarser, finest_elevation  # noqa: E402
from terraloom_engines.training.rasters import Source  # noqa: E402

CONFIG = train.TrainConfig("geometry", minutes=1, width=8, batch=2, side=40, wide_batch=2, wide_side=56, threads=1)


def ranges(seed: int, side: int = 256) -> Source:
    """Land of sharp ridges, 500 m per pixel."""
    rng = np.random.default_rng(seed)
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    rough = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((side, side))) / np.maximum(radius, 2 / side) ** 1.8).astype(np.float32)
    return Source(f"ranges {seed}", finest_elevation(2000 - 40 * np.abs(rough), 500.0, 1.0, np.ones((side, side), bool)), False)


def test_a_plane_looks_the_same_to_a_critic_at_any_height_and_whatever_the_unit_does() -> None:
    ramp = (torch.arange(32.0) * 3)[None, None, None, :].expand(1, 1, 32, 32)
    unit = torch.exp2(torch.rand(1, 1, 32, 32))
    rest = torch.zeros(1, 1, 32, 32), unit, torch.zeros(1, 2, 32, 32)
    low, high = (Land(ramp + height, *rest).view for height in (0.0, 4000.0))
    np.testing.assert_allclose(low, high, atol=2e-3)
    np.testing.assert_allclose(low[:, 0], (6 / unit[..., 1:-1, 1:-1])[:, 0].clamp(max=8), rtol=1e-4)


def test_forefathers_are_the_means_of_what_is_below_them() -> None:
    rng = np.random.default_rng(1)
    material = train.material_of(CONFIG, [ranges(1)])
    batch = train.batch_of(material.wide, CONFIG, rng, "cpu", wide=True)
    given = {key: values for key, values in batch.items() if key in chaining.CONDITIONS}
    finest, middle, coarsest = chaining.forefathers(given, "elevation", "relief")
    assert [each["elevation"].shape[-1] for each in (finest, middle, coarsest)] == [56, 52, 38]
    rim = networks.HALO
    eighth = torch.nn.functional.avg_pool2d(finest["elevation"], 4)
    np.testing.assert_allclose(coarsest["elevation"][..., rim:-rim, rim:-rim], eighth, rtol=1e-4)
    np.testing.assert_allclose(coarsest["gsd"].mean(), finest["gsd"].mean() + 2, rtol=1e-5)
    between = torch.nn.functional.avg_pool2d(finest["elevation"] ** 2, 4) - eighth**2
    inside = torch.nn.functional.avg_pool2d(torch.exp2(2 * finest["relief"]), 4)
    held = torch.exp2(2 * coarsest["relief"][..., rim:-rim, rim:-rim])
    assert float((held / (between + inside)).log().abs().mean()) < 0.05  # the law of total variance


def test_a_long_chain_ends_on_the_pixels_of_its_truth_and_teaches_every_step() -> None:
    rng = np.random.default_rng(2)
    model = networks.GeometryRefiner(8)
    batch = train.batch_of(train.material_of(CONFIG, [ranges(2)]).wide, CONFIG, rng, "cpu", wide=True)
    truth, made = chaining.long_chain(model, batch, "elevation", "relief")
    assert truth.raster.shape == made.raster.shape == (2, 1, 64, 64)
    forefather = torch.nn.functional.avg_pool2d(truth.raster - made.raster.detach(), 8)[..., 1:-1, 1:-1]
    departure = (truth.raster - torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(truth.raster, 8), scale_factor=8)).std()
    assert float(forefather.std()) < 0.3 * float(departure)  # three levels up they are the same but for what augmentation adds
    made.raster.square().mean().backward()
    assert float(model.body.enter.weight.grad.abs().max()) > 0


def test_terrain_is_lent_to_imagery_where_its_own_is_not_known() -> None:
    side, rng = 56, np.random.default_rng(3)
    level = coarser(finest_elevation(np.zeros((4 * side, 4 * side), np.float32), 10.0, 1.0, np.ones((4 * side, 4 * side), bool)))
    colour = type(level)(np.float32(90 + 20 * rng.standard_normal((3, 2 * side, 2 * side))), level.spread + 4, level.valid, level.gsd)
    sample = samples.imagery_sample(Source("scene", colour, False), side, samples.Augmentation(), rng)
    batch = {key: torch.from_numpy(np.asarray(values, np.float32))[None] for key, values in sample.items()}
    lent: list[tuple[int, int]] = []

    def terrain(pixels: int, log_gsd: float) -> "torch.Tensor":
        lent.append((pixels, round(2**log_gsd)))
        return torch.ones(6, pixels, pixels)

    chaining.long_chain(networks.ImageryRefiner(8), batch, "colour", "texture", terrain)
    assert lent == [(56, 20), (52, 40), (38, 80)]


def test_the_critic_learns_alone_first_and_then_tells_smooth_land_from_ridges() -> None:
    torch.manual_seed(4)
    contest = adversary.Contest(1, "cpu")
    contest.steps = adversary.ALONE - 60

    def land(seed: int, blurred: bool) -> Land:
        raster = torch.stack([torch.from_numpy(ranges(seed + i).level.mean[:, :96, :96]) for i in range(2)])
        if blurred:
            raster = torch.nn.functional.avg_pool2d(raster, 5, stride=1, padding=2, count_include_pad=False)
        return Land(raster, torch.zeros(2, 1, 96, 96), torch.full((2, 1, 96, 96), 80.0), torch.zeros(2, 2, 96, 96))

    for i in range(60):
        contest.learn(land(10 + 4 * i, False), land(12 + 4 * i, True))
    assert contest.say == 0  # it has not had its time alone
    contest.learn(land(2, False), land(4, True))
    assert contest.say == pytest.approx(1 / adversary.WARM)
    assert float(contest.verdict(land(6, False), land(8, True))) > 1.5  # ln 2 where they cannot be told apart


def test_training_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    material, rng = train.material_of(CONFIG, [ranges(5), ranges(6)]), np.random.default_rng(6)
    torch.set_num_threads(1)
    trainer = train.Trainer(CONFIG, "cpu")
    trainer.contest.steps = adversary.ALONE
    before = [values.clone() for values in trainer.model.parameters()]
    scores = [trainer.step(material, rng) for _ in range(4)]
    assert [score is None for score in scores] == [False, True, False, True] and trainer.steps == 4 and len(trainer.parts) == 2
    assert any(not torch.equal(old, new) for old, new in zip(before, trainer.model.parameters(), strict=True))
    trainer.save(tmp_path / "geometry.pt")
    again = train.Trainer(CONFIG, "cpu")
    again.load(tmp_path / "geometry.pt")
    assert (again.steps, again.pull, again.contest.steps) == (4, trainer.pull, adversary.ALONE + 2)
    with pytest.raises(slimming.MismatchError, match=r"geometry.pt is of networks of another size or of an earlier version: move it"):
        train.Trainer(replace(CONFIG, width=12), "cpu").load(tmp_path / "geometry.pt")
    old = torch.load(tmp_path / "geometry.pt", weights_only=True)
    del old["contest"]
    torch.save(old, tmp_path / "old.pt")
    with pytest.raises(slimming.MismatchError, match="old.pt is of networks of another size or of an earlier version"):
        train.Trainer(CONFIG, "cpu").load(tmp_path / "old.pt")
    for ours, theirs in ((trainer.model, again.model), (trainer.average, again.average), (trainer.contest.critic, again.contest.critic)):
        for (name, values), loaded in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
            assert torch.equal(values, loaded), name


def test_a_step_whose_gradient_is_not_finite_spoils_nothing() -> None:
    trainer = train.Trainer(CONFIG, "cpu")
    before = [values.clone() for values in (*trainer.model.parameters(), *trainer.average.parameters())]
    loss = sum(values.sum() for values in trainer.model.parameters()) * torch.tensor(float("nan"))
    trainer.descend(loss)
    assert trainer.steps == 1 and trainer.pull == 0
    assert all(torch.equal(old, new) for old, new in zip(before, (*trainer.model.parameters(), *trainer.average.parameters()), strict=True))
    land = adversary.Land(torch.zeros(2, 1, 70, 70), torch.zeros(2, 1, 70, 70), torch.ones(2, 1, 70, 70), torch.zeros(2, 2, 70, 70))
    strange = adversary.Land(torch.full_like(land.raster, float("nan")), land.spread, land.unit, land.scale)
    critic = [values.clone() for values in trainer.contest.critic.parameters()]
    trainer.contest.learn(land, strange)
    assert trainer.contest.steps == 1
    assert all(torch.equal(old, new) for old, new in zip(critic, trainer.contest.critic.parameters(), strict=True))
