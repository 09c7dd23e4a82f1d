"""Heights of the base that pictures sharpen: learnt from what was shown, drawn without joints, and left alone at sea."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

for module in ("torch", "sklearn", "scipy"):
    pytest.importorskip(module, reason=f"{module} is not installed: the training extra is tested where it is")

import torch  # noqa: E402
from scipy import ndimage  # noqa: E402

from terraloom_engines.training import mountains, sharpening  # noqa: E402
from terraloom_engines.training.samples import haar_details  # noqa: E402
from terraloom_engines.training.sharpening import Evidence, Sharpener, drawn, report, train  # noqa: E402
from terraloom_engines.training.slimming import MismatchError  # noqa: E402

torch.set_num_threads(1)  # two that spin beside other tests take many times as long


def painted_land(side: int) -> Evidence:
    """Blurred heights beside a picture in which their slopes are shaded, and a sea in the west."""
    fine = ndimage.gaussian_filter(np.random.default_rng(3).standard_normal((2 * side, 2 * side)), 3, mode="wrap")
    fine = (fine / fine.std() * 300 + 2000).astype(np.float32)
    truth = fine.reshape(side, 2, side, 2).mean(axis=(1, 3))
    south, east = np.gradient(fine)
    land = np.full((side, side), 255.0, np.float32)
    land[:, :24] = 0
    plain: dict[str, Any] = {
        "height": ndimage.gaussian_filter(truth, 3, mode="wrap"), "relief": np.full((side, side), 7.0, np.float32), "land": land,
        "narrowing": np.ones((side, side), np.float32), "agreement": np.full((side, side), 0.5, np.float32),
    }  # fmt: skip
    rasters = {name: raster[None] for name, raster in plain.items()} | {"colour": np.full((3, side, side), 90.0, np.float32)}
    light = np.clip(150 + 0.4 * (south + east), 0, 255).astype(np.uint8)
    return Evidence(rasters, {"tint": np.repeat(light[None], 3, axis=0), "children": fine[None]}, truth)


def test_a_picture_of_slopes_sharpens_heights_that_were_never_learnt_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sharpening, "HELD_OUT", (32, 4))
    monkeypatch.setattr(sharpening, "EVERY", 20)
    for name, value in (("CORE", 192), ("SIDE_LEARNT", 64), ("BATCH", 3)):
        monkeypatch.setattr(sharpening, name, value)
    seen, checkpoint = painted_land(192), tmp_path / "heights.pt"
    train(seen, 20, checkpoint, bfloat16=False)
    model = train(seen, 60, checkpoint, bfloat16=False)
    steps = [line.split(":")[0] for line in capsys.readouterr().out.splitlines()]
    (tmp_path / "other.pt").write_bytes(b"weights of something else")
    with pytest.raises(MismatchError, match="other.pt is no checkpoint of this network: move it, or name another --out"):
        train(seen, 20, tmp_path / "other.pt", bfloat16=False)
    assert steps == ["step 20", "step 40", "step 60"], "the second run did not go on from where the first had come to"
    heights = drawn(model, seen)
    apart = (seen.rasters["land"][0] == 255) & sharpening.held_out(192)
    blurred, sharpened = (np.corrcoef(np.diff(h, axis=1)[apart[:, 1:]], np.diff(seen.truth, axis=1)[apart[:, 1:]])[0, 1]
                          for h in (seen.rasters["height"][0], heights))  # fmt: skip
    assert sharpened > blurred + 0.1, f"steps correlate {sharpened:.2f} with the real ones, {blurred:.2f} before"
    np.testing.assert_array_equal(heights[:, :24], seen.rasters["height"][0][:, :24])
    assert f"{blurred:.2f}" in report(heights, seen).splitlines()[1]


def test_windows_leave_no_joint_and_the_globe_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    model, seen = Sharpener(), painted_land(256)
    whole = drawn(model, seen)
    assert np.abs(whole - seen.rasters["height"][0]).max() > 10
    monkeypatch.setattr(sharpening, "CORE", 96)
    np.testing.assert_allclose(drawn(model, seen), whole, atol=0.05)
    there = np.roll(np.arange(256), 128)
    turned = Evidence({name: raster[..., there] for name, raster in seen.rasters.items()},
                      {name: np.roll(raster, 256, axis=-1) for name, raster in seen.fine.items()}, seen.truth[:, there])  # fmt: skip
    features = sharpening.features(sharpening.tensors([turned.cut(0, 64, 256, 128)]))
    beside = sharpening.features(sharpening.tensors([seen.cut(0, 192, 256, 128)]))
    torch.testing.assert_close(features, beside)


def test_windows_that_are_learnt_from_are_turned_with_their_light() -> None:
    """Painted light falls along the diagonal: over it windows may be turned, picture and heights together."""
    seen = painted_land(256)
    batch = next(sharpening.batches(seen, seen.learnt, np.random.default_rng(0)))
    assert batch["truth"].shape == batch["mask"].shape == (sharpening.BATCH, 1, sharpening.SIDE_LEARNT, sharpening.SIDE_LEARNT)
    lights = torch.nn.functional.avg_pool2d(batch["tint"][:, :1], 2).numpy()[:, 0]
    for heights, light, land, mask in zip(batch["truth"].numpy()[:, 0], lights, batch["land"], batch["mask"], strict=True):
        slope = np.diff(heights, axis=0)[:, 1:] + np.diff(heights, axis=1)[1:]
        assert np.corrcoef(slope.ravel(), light[1:, 1:].ravel())[0, 1] > 0.6
        assert not mask[land == 0].any(), "sea is nothing to learn from"
    assert (batch["mask"].mean(dim=(1, 2, 3)) > 0.3).all()


def test_a_picture_of_slopes_tells_what_is_inside_pixels_that_were_never_learnt_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharpening, "HELD_OUT", (32, 4))
    for name, value in (("CORE", 192), ("SIDE_LEARNT", 64), ("BATCH", 3)):
        monkeypatch.setattr(sharpening, name, value)
    seen = painted_land(192)
    known = np.ones((192, 192), bool)
    learnt = mountains.rough_land(seen) & ~sharpening.held_out(192)
    model = train(seen, 40, tmp_path / "details.pt", mountains.DETAILS, learnt, bfloat16=False)
    details = sharpening.drawn_metres(model, seen, mountains.rough_land(seen))
    apart = mountains.rough_land(seen) & sharpening.held_out(192)
    real = haar_details(seen.fine["children"])[0]
    alike = [float(np.corrcoef(made[apart], true[apart])[0, 1]) for made, true in zip(details, real, strict=True)]
    assert min(alike[:2]) > 0.5, f"details correlate {alike}"
    assert f"held out: details correlate {alike[0]:.2f}" in mountains.report(details, seen, known)
    full = mountains.at_full_power(details, seen, known)
    powers = [[float((each[:, learnt] ** 2).mean(axis=1)[k]) for k in range(3)] for each in (full, real)]
    np.testing.assert_allclose(*powers, rtol=1e-3)
