"""What training rests on: the law of total variance in pyramids, and a score that only the right distribution minimises."""

import argparse
from pathlib import Path

import numpy as np
import pytest

from terraloom_engines.training import samples, weave
from terraloom_engines.training.pyramid import coarser, finest_elevation, pyramid
from terraloom_engines.training.rasters import Source, archive_of, data_folder, existing_file


def rough_land(side: int = 128) -> np.ndarray:
    rng = np.random.default_rng(3)
    spectrum = np.fft.rfft2(rng.standard_normal((side, side)))
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    return np.fft.irfft2(spectrum / np.maximum(radius, 1 / side) ** 2).astype(np.float32) * 100


def test_spread_and_mean_of_every_level_follow_the_law_of_total_variance() -> None:
    finest = finest_elevation(rough_land(), 30.0, 1.0, np.ones((128, 128), bool))
    levels = pyramid(finest, smallest=4)
    assert [level.mean.shape[1] for level in levels] == [128, 64, 32, 16, 8, 4]
    for level in levels[1:]:
        k = 128 // level.mean.shape[1]
        blocks = finest.mean[0].astype(np.float64).reshape(128 // k, k, 128 // k, k)
        inside = finest.spread.astype(np.float64).reshape(128 // k, k, 128 // k, k) ** 2
        np.testing.assert_allclose(level.mean[0], blocks.mean(axis=(1, 3)), rtol=1e-4, atol=1e-2)
        np.testing.assert_allclose(level.spread**2, blocks.var(axis=(1, 3)) + inside.mean(axis=(1, 3)), rtol=2e-2)
        assert level.gsd == 30 * k


def test_invalid_pixels_make_their_parents_invalid() -> None:
    valid = np.ones((8, 8), bool)
    valid[3, 5] = False
    parent = coarser(finest_elevation(np.zeros((8, 8), np.float32), 30.0, 1.0, valid))
    assert np.argwhere(~parent.valid).tolist() == [[1, 2]]


def test_land_whose_rows_and_columns_show_is_not_learnt_from_but_still_judges() -> None:
    land = rough_land() / 100
    woven = land + np.random.default_rng(4).normal(0, 8, (128, 1)).astype(np.float32)
    turned = np.rot90(woven)
    assert weave.axis_power(land) == pytest.approx(1, abs=0.25)
    assert weave.axis_power(woven) > 2 < weave.axis_power(turned)
    assert weave.axis_power(land + 40 * np.arange(128, dtype=np.float32)) == pytest.approx(weave.axis_power(land), rel=0.02)
    assert weave.axis_power(land[:60]) == 1

    def source(raster: np.ndarray, gsd: float, held_out: bool = False) -> Source:
        return Source("land", finest_elevation(raster, gsd, 1.0, np.ones(raster.shape, bool)), held_out)

    plain, lines, coarse, judge = source(land, 30), source(woven, 30), source(woven, 300), source(woven, 30, held_out=True)
    assert weave.straight([plain, lines, coarse, judge]) == [plain, coarse, judge]


def test_fine_land_is_told_as_the_finest_level_in_units_of_slope() -> None:
    rng = np.random.default_rng(5)
    level = finest_elevation(rough_land(), 10.0, 0.1, np.ones((128, 128), bool))
    how = samples.Augmentation(spread_octaves=0, elevation_spreads=0, vertical_octaves=0)
    given = [samples.geometry_sample(Source("land", level, False), 40, how, rng) for _ in range(20)]
    told = np.exp2([float(each["gsd"].mean()) for each in given])
    assert told.min() >= samples.FINEST_TOLD[0] and told.max() <= samples.FINEST_TOLD[1] and np.ptp(told) > 20
    steepness = [np.abs(np.diff(each["children"][0])).mean() / metres for each, metres in zip(given, told, strict=True)]
    real = np.abs(np.diff(level.mean[0])).mean() / 10
    np.testing.assert_allclose(steepness, real, rtol=0.5)  # windows differ; the ratio of scales is 6 to 15
    assert samples.told_scale(2400.0, rng) == 2400.0


def test_networks_lose_their_border_and_the_smooth_upsampling_keeps_planes() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: the training extra is tested where it is")
    from terraloom_engines.training import networks

    model = networks.GeometryRefiner(8)
    plane = (torch.arange(40.0)[None, :] * 3 + torch.arange(40.0)[:, None] * 5)[None, None]
    rest = {"relief": torch.zeros(1, 1, 40, 40), "land": torch.ones(1, 1, 40, 40), "gsd": torch.full((1, 1, 40, 1), 5.0)}
    sample = model(torch.zeros(1, model.noise_channels, 40, 40), torch.ones(1, 1, 1, 1), plane, imagery=torch.zeros(1, 13, 40, 40), **rest)
    assert sample.shape == (1, 7, 40 - 2 * networks.HALO, 40 - 2 * networks.HALO)
    details = networks.smooth_details(plane)[0, :, 0, 0]
    np.testing.assert_allclose(details, [0.75, 1.25, 0], atol=1e-5)


def test_the_score_prefers_draws_of_the_right_spread() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: the training extra is tested where it is")
    from terraloom_engines.training.objective import energy_score

    torch.manual_seed(0)
    truth, mask = torch.randn(64, 7, 16, 16), torch.ones(64, 1, 16, 16)
    scores = {}
    for spread in (0.0, 0.5, 1.0, 1.6):
        torch.manual_seed(1)
        scores[spread] = float(energy_score(spread * torch.randn_like(truth), spread * torch.randn_like(truth), truth, mask, 3))
    assert min(scores, key=scores.__getitem__) == 1.0


def test_what_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=f"{tmp_path} is no folder of training packs"):
        data_folder(str(tmp_path))
    (tmp_path / "packlib.py").touch()
    assert data_folder(str(tmp_path)) == tmp_path
    with pytest.raises(argparse.ArgumentTypeError, match="there is no file .*nope.onnx"):
        existing_file(str(tmp_path / "nope.onnx"))
    np.savez(tmp_path / "heights.npz", heights=np.zeros(3))
    (tmp_path / "text.npz").write_text("heights")
    assert archive_of("heights", "sharpening")(str(tmp_path / "heights.npz")) == tmp_path / "heights.npz"
    for name, raster in (("heights", "details"), ("text", "heights")):
        with pytest.raises(argparse.ArgumentTypeError, match=rf"{name}.npz is not what mountains wrote: it has no {raster}"):
            archive_of(raster, "mountains")(str(tmp_path / f"{name}.npz"))


def test_a_slimmer_network_keeps_the_channels_that_matter(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: the training extra is tested where it is")
    import onnx

    from terraloom_engines.training import networks, slimming, train

    torch.manual_seed(2)
    wide, slim = networks.ImageryRefiner(12, 24).eval(), networks.ImageryRefiner(8, 24).eval()
    with torch.no_grad():  # four channels of each space at full resolution say nothing
        for layer in ("enter", "local", "merge", "final"):
            getattr(wide.body, layer).weight[[1, 4, 5, 10]] = 0
            getattr(wide.body, layer).bias[[1, 4, 5, 10]] = 0
        wide.body.up.weight[:, [1, 4, 5, 10]] = 0
        wide.body.up.bias[[1, 4, 5, 10]] = 0
    weights = [onnx.numpy_helper.from_array(values.numpy(), name) for name, values in wide.state_dict().items()]
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "weights", [], [], weights)), tmp_path / "imagery.onnx")
    trainer = train.Trainer(train.TrainConfig("imagery", width=8, coarse=24), "cpu")
    trainer.start_from(tmp_path / "imagery.onnx")
    values = torch.randn(2, 40, 30, 30)
    with torch.no_grad():
        np.testing.assert_allclose(trainer.model.body(values), wide.body(values), atol=1e-5)
        assert not np.allclose(slim.body(values), wide.body(values), atol=1e-2)
    with pytest.raises(ValueError, match="no wider one of the same kind"):
        slimming.slimmed(slim.state_dict(), networks.ImageryRefiner(12, 24).state_dict())
    (tmp_path / "imagery.onnx").write_bytes(b"x")
    with pytest.raises(slimming.MismatchError, match="not an ONNX file"):
        trainer.start_from(tmp_path / "imagery.onnx")
