"""Plans: built once, kept while sound, never loaded from where others can write; TensorRT for RTX builds them without a GPU."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from conformance import BUNDLE
from terraloom.errors import FailedPreconditionError, InvalidArgumentError, UnavailableError
from terraloom_engines.runtimes.plans import Plan, PlanCache, PlanKey
from terraloom_engines.runtimes.tensorrt_plans import Library, PlanOrder, check_target, obtain_plan

KEY = PlanKey("tensorrt-rtx", "1.7.1", "sm89", "fp16", "0" * 64, 224, 1)


def built(cache: PlanCache, key: PlanKey = KEY, content: bytes = b"plan" * 100) -> Plan:
    return cache.obtain(key, lambda: content)


def test_a_plan_is_built_once_however_many_want_it_at_a_time(tmp_path: Path) -> None:
    builds = []

    def build() -> bytes:
        builds.append(1)
        return b"plan"

    with ThreadPoolExecutor(8) as pool:
        plans = list(pool.map(lambda _: PlanCache(tmp_path).obtain(KEY, build), range(8)))
    assert len(builds) == 1 and {plan.content for plan in plans} == {b"plan"}
    assert sorted(plan.state for plan in plans) == ["built", *["kept"] * 7]


@pytest.mark.parametrize(
    "damage",
    [
        lambda plan: plan.path.write_bytes(plan.content[:-1]),
        lambda plan: plan.path.write_bytes(b"P" + plan.content[1:]),
        lambda plan: plan.path.write_bytes(b""),
        lambda plan: plan.path.with_suffix(".json").write_text("{"),
        lambda plan: plan.path.with_suffix(".json").write_text("[]"),
        lambda plan: plan.path.with_suffix(".json").unlink(),
        lambda plan: plan.path.with_suffix(".json").write_text(plan.path.with_suffix(".json").read_text().replace('"1.7.1"', '"1.6.0"')),
    ],
    ids=["truncated", "altered", "empty", "note cut off", "no note", "note missing", "of another version"],
)
def test_a_plan_that_is_damaged_or_stale_is_built_anew(tmp_path: Path, damage: Callable[[Plan], object]) -> None:
    cache = PlanCache(tmp_path)
    first = built(cache)
    damage(first)
    assert not any(note["sound"] and note["key"]["version"] == "1.7.1" for note in cache.notes())
    again = built(cache)
    assert (first.state, again.state, again.content) == ("built", "rebuilt", first.content)
    assert built(cache).state == "kept" and [note["sound"] for note in cache.notes()] == [True]


def test_whatever_a_plan_depends_on_has_a_plan_of_its_own(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)
    changes = ({"version": "1.8"}, {"target": "sm120"}, {"precision": "bf16"}, {"network": "1" * 64}, {"side": 200}, {"batch": 4})
    keys = [KEY, *(replace(KEY, **change) for change in changes)]
    for number, key in enumerate(keys):
        assert built(cache, key, bytes([number])).state == "built"
    assert [built(cache, key).content for key in keys] == [bytes([number]) for number in range(len(keys))]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such bits")
def test_a_plan_is_never_taken_from_where_others_can_write(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path / "plans")
    plan = built(cache)
    assert cache.folder.stat().st_mode & 0o077 == 0 and plan.path.stat().st_mode & 0o077 == 0
    for path in (cache.folder, plan.path, plan.path.with_suffix(".json")):
        mode = path.stat().st_mode
        path.chmod(mode | 0o022)
        with pytest.raises(FailedPreconditionError, match=r"plans are code, and others can write to .*: chmod go-w it"):
            built(cache)
        path.chmod(mode)
    assert built(cache).state == "kept"
    (tmp_path / "link").symlink_to(cache.folder)
    with pytest.raises(FailedPreconditionError, match="is a link"):
        built(PlanCache(tmp_path / "link"))


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() != 0, reason="only root can give a file away")
def test_a_plan_of_another_user_is_never_loaded(tmp_path: Path) -> None:
    plan = built(PlanCache(tmp_path))
    os.chown(plan.path, 12345, -1)
    with pytest.raises(FailedPreconditionError, match="belongs to another user"):
        built(PlanCache(tmp_path))


@pytest.fixture(scope="module")
def rtx() -> Library:
    try:
        return Library.open("tensorrt-rtx")
    except UnavailableError as error:
        pytest.skip(str(error))


def test_plans_are_built_without_a_gpu_for_what_they_aim_at(rtx: Library, tmp_path: Path) -> None:
    cache, model = PlanCache(tmp_path), BUNDLE.model("geometry")
    orders = [PlanOrder("sm75", "fp16", 64), PlanOrder("sm89", "bf16", 64), PlanOrder("sm120", "fp32", 64, batch=2)]
    plans = [obtain_plan(rtx, cache, model, order) for order in orders]
    assert [plan.state for plan in plans] == ["built"] * 3 and len({plan.digest for plan in plans}) == 3
    weights = len(model)
    assert all(len(plan.content) > size for plan, size in zip(plans, (weights / 2, weights / 2, weights), strict=True)), (
        "weights are inside"
    )
    assert [note["key"]["target"] for note in cache.notes()] == ["sm120", "sm75", "sm89"]
    inspector, malformed = rtx.module.Runtime(rtx.logger()), int(rtx.module.EngineInvalidityDiagnostics.MALFORMED_ENGINE)
    for content, sound in [*((plan.content, True) for plan in plans), (b"x" * 1000, False)]:
        _, diagnostics = inspector.get_engine_validity(content)
        assert not diagnostics & malformed if sound else diagnostics & malformed
    plans[0].path.write_bytes(plans[0].content[:1000])
    again = obtain_plan(rtx, cache, model, orders[0])
    assert again.state == "rebuilt" and abs(len(again.content) - len(plans[0].content)) < 0.05 * len(again.content)


def test_targets_that_a_library_cannot_aim_at_are_named() -> None:
    assert check_target("tensorrt-rtx", "sm89") == "sm89" and check_target("tensorrt", "current") == "current"
    for name, target in (("tensorrt-rtx", "sm90"), ("tensorrt", "sm89")):
        with pytest.raises(InvalidArgumentError, match=f"{name} cannot aim at '{target}': allowed are current"):
            check_target(name, target)  # type: ignore[arg-type]


def engines(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "terraloom_engines.cli", "engines", *arguments]
    environment = os.environ | {"TERRALOOM_HOME": str(folder)}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)


def test_the_command_builds_plans_of_both_networks_keeps_them_and_lists_them(rtx: Library, tmp_path: Path) -> None:
    first, second = (engines(tmp_path, "build", "--runtime", "tensorrt-rtx:fp16", "--target", "sm86", "--json") for _ in range(2))
    assert (first.returncode, first.stderr) == (0, "")
    plans = json.loads(first.stdout)
    assert [(plan["network"], plan["state"]) for plan in plans] == [("geometry", "built"), ("imagery", "built")]
    assert [plan["state"] for plan in json.loads(second.stdout)] == ["kept", "kept"]
    listed = json.loads(engines(tmp_path, "list", "--json").stdout)
    assert {plan["digest"] for plan in listed} == {plan["digest"] for plan in plans} and all(plan["sound"] for plan in listed)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--runtime", "onnx-cpu"], "runtime onnx-cpu has no plans: allowed are tensorrt, tensorrt-rtx"),
        (["--runtime", "tensorrt-rtx", "--target", "sm90"], "tensorrt-rtx cannot aim at 'sm90': allowed are current, sm75"),
        (["--runtime", "tensorrt-rtx:int4"], "runtime tensorrt-rtx has no precision 'int4'"),
    ],
)
def test_what_cannot_be_built_is_told_in_one_line(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    result = engines(tmp_path, "build", *arguments)
    assert result.returncode == 2 and result.stderr.startswith(f"error: {complaint}") and result.stderr.count("\n") == 1


def test_a_library_that_is_not_installed_is_told_with_the_remedy() -> None:
    if find_spec("tensorrt") is not None:
        pytest.skip("tensorrt is installed")
    with pytest.raises(UnavailableError, match=r"is not installed: pip install 'terraloom\[tensorrt\]'"):
        Library.open("tensorrt")
