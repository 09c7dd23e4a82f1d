"""The layout is the architecture: who may import whom, what the public names are, and what is generated."""

import ast
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import terraloom
import terraloom_engines

ROOT = Path(__file__).parent.parent
SOURCES = {"terraloom": ROOT / "sdk/python/terraloom", "terraloom_engines": ROOT / "engines/terraloom_engines"}
GENERATED = ROOT / "sdk/python/terraloom/v1"
DISTRIBUTION_OF_MODULE = {"google": "protobuf", "PIL": "pillow", "grpc_health": "grpcio-health-checking", "grpc": "grpcio"}
DISTRIBUTION_OF_MODULE |= {"grpc_reflection": "grpcio-reflection", "grpc_status": "grpcio-status"}
DISTRIBUTION_OF_MODULE |= {"prometheus_client": "prometheus-client", "cuda": "cuda-bindings"}
DISTRIBUTION_OF_MODULE |= {"opentelemetry": "opentelemetry-sdk", "sklearn": "scikit-learn"}
NEED_RASTERIO = ("terraloom_engines.export.geotiff", "terraloom_engines.rasters.")
NEED_TORCH = ("terraloom_engines.training", "terraloom_engines.device", "terraloom_engines.paper")
NEED_TORCH += ("terraloom_engines.runtimes.torch_", "terraloom_engines.bench.torch_")
"""Nothing that serves imports them but for the runtime `torch`, when it is asked for."""
NEED_ONNX = ("terraloom_engines.runtimes.lowering", "terraloom_engines.runtimes.tensorrt_")


def source_files() -> list[Path]:
    """All Python files of both roots but the generated ones."""
    return [path for root in SOURCES.values() for path in sorted(root.rglob("*.py")) if GENERATED not in path.parents]


def module_name(path: Path) -> str:
    """Dotted name under which `path` is imported."""
    package, root = next((name, root) for name, root in SOURCES.items() if root in path.parents)
    parts = [package, *path.relative_to(root).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    """Dotted names of all modules that `path` imports, wherever in the file the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & MODULES.keys()
            found |= submodules or {node.module}
    return found


MODULES = {module_name(path): path for path in source_files()}
ORDER = re.findall(r"^ {4}(\w+)  ", terraloom_engines.__doc__ or "", re.MULTILINE)


def part(module: str) -> str:
    """The part of the docstring's list that a module of `terraloom_engines` belongs to."""
    return module.split(".")[1]


def test_the_package_docstring_lists_exactly_the_modules_of_the_engines() -> None:
    parts = {part(name) for name in MODULES if name.startswith("terraloom_engines.")}
    assert sorted(ORDER) == sorted(parts)


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("terraloom_engines.")])
def test_modules_import_only_from_those_listed_above_them(name: str) -> None:
    used = {part(other) for other in imports(MODULES[name]) if other.startswith("terraloom_engines.")}
    below = {other for other in used if ORDER.index(other) > ORDER.index(part(name))}
    assert not below, f"{name} imports from further down: {sorted(below)}"


def test_no_module_imports_itself_round_a_cycle() -> None:
    graph = {name: imports(path) & MODULES.keys() - {name} for name, path in MODULES.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError


def test_the_client_never_imports_the_engines() -> None:
    guilty = [
        name for name, path in MODULES.items() if part_of_client(name) and any(o.startswith("terraloom_engines") for o in imports(path))
    ]
    assert guilty == []


def part_of_client(name: str) -> bool:
    return name.split(".")[0] == "terraloom"


def test_serving_rendering_and_commands_load_no_torch() -> None:
    serving = [
        name
        for name in MODULES
        if not name.startswith((*NEED_TORCH, "terraloom_engines.runtimes.lowering")) and not name.endswith("__main__")
    ]
    code = f"import importlib, sys\nfor name in {serving!r}: importlib.import_module(name)\nprint('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_importing_the_client_loads_neither_numpy_nor_grpc() -> None:
    code = "import sys, terraloom; print(sorted({'numpy', 'grpc', 'google.protobuf', 'terraloom_engines'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_public_names_of_the_client_exist_and_are_the_ones_promised() -> None:
    assert terraloom.__all__ == sorted(terraloom.__all__)
    assert all(hasattr(terraloom, name) for name in terraloom.__all__)
    public = {path.stem for path in SOURCES["terraloom"].glob("*.py") if not path.stem.startswith("_")}
    assert public == {"errors", "frames", "testing"}, "everything else of the client is private"


def test_every_library_used_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {part: {re.split(r"[<>=\[; ]", line)[0] for line in lines} for part, lines in project["optional-dependencies"].items()}
    names["client"] = {re.split(r"[<>=\[; ]", line)[0] for line in project["dependencies"]}
    for name, path in MODULES.items():
        extras = ["client"] if part_of_client(name) else ["client", "server"]
        extras += ["raster"] if name.startswith(NEED_RASTERIO) else []
        extras += ["otel"] if name == "terraloom_engines.spans" else []
        extras += ["train"] if name.startswith(NEED_TORCH) else []
        extras += ["tensorrt"] if name.startswith(NEED_ONNX) else []
        extras += ["openvino"] if name.startswith("terraloom_engines.runtimes.openvino_") else []
        extras += ["paper"] if name.startswith("terraloom_engines.paper") else []
        outside = {other.split(".")[0] for other in imports(path)} - set(sys.stdlib_module_names) - SOURCES.keys()
        undeclared = {DISTRIBUTION_OF_MODULE.get(other, other) for other in outside} - set().union(*(names[extra] for extra in extras))
        assert not undeclared, f"{name} uses {sorted(undeclared)}, which its extras {extras} do not install"


def test_generated_code_is_up_to_date(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "proto/generate.py", tmp_path], check=True)
    fresh = {path.name: path.read_text() for path in tmp_path.rglob("*_pb2*")}
    assert fresh
    assert {path.name: path.read_text() for path in GENERATED.glob("*_pb2*")} == fresh, "run `make proto`"


def test_every_file_can_be_read_in_one_sitting() -> None:
    files = [*source_files(), *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "proto").rglob("*.proto")]
    lengths = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in files if "node_modules" not in path.parts}
    assert {path: length for path, length in lengths.items() if length > 400} == {}


def test_every_module_says_what_it_is_for() -> None:
    silent = [name for name, path in MODULES.items() if ast.get_docstring(ast.parse(path.read_text())) is None]
    assert silent == []
