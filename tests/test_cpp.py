"""The C++ reader: it builds with what the system has, and logs the same flight as the same program in Python."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROGRAMS = ("c++", "cmake", "pkg-config", "protoc", "grpc_cpp_plugin")
LIBRARIES = ("grpc++ >= 1.51", "protobuf >= 3.21")


def missing() -> list[str]:
    """What it takes to build the reader and is not here."""
    programs = [name for name in PROGRAMS if shutil.which(name) is None]
    if "pkg-config" in programs:
        return programs
    return programs + [library for library in LIBRARIES if subprocess.run(["pkg-config", "--exists", library]).returncode]


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def flight_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C++ program, built in a temporary folder."""
    if lacking := missing():
        pytest.skip(f"the C++ reader needs {', '.join(lacking)}")
    folder = tmp_path_factory.mktemp("cpp")
    for command in (
        ("cmake", "-S", ROOT / "sdk/cpp", "-B", folder, "-DCMAKE_CXX_FLAGS_RELEASE=-O1"),
        ("cmake", "--build", folder, "--parallel", "2"),
    ):
        built = run(*command)
        assert built.returncode == 0, built.stdout + built.stderr
        assert "warning" not in built.stdout.lower() + built.stderr.lower()
    return folder / "flight_log"


@pytest.mark.parametrize(
    ("poses", "world"),
    [
        ("", ""),
        ("x,y,height\n700000,-300000,50000\n-700000,300000,50000\n", "plane:7"),
    ],
    ids=["its own path", "over a plane"],
)
def test_cpp_and_python_log_the_same_flight(flight_log: Path, server: str, tmp_path: Path, poses: str, world: str) -> None:
    arguments = [server]
    if poses:
        (tmp_path / "poses.csv").write_text(poses)
        arguments += [str(tmp_path / "poses.csv"), world]
    cpp, python = run(flight_log, *arguments), run(sys.executable, ROOT / "examples/flight_log.py", *arguments)
    assert (cpp.returncode, cpp.stderr) == (python.returncode, python.stderr) == (0, "")
    assert cpp.stdout == python.stdout
    assert cpp.stdout.startswith("view 1\n") and "received again 0," in cpp.stdout


def test_the_cpp_program_tells_errors_in_one_line(flight_log: Path, server: str, tmp_path: Path) -> None:
    nobody = run(flight_log, "127.0.0.1:1")
    assert nobody.returncode == 1 and nobody.stderr.startswith("error: ") and nobody.stderr.count("\n") == 1
    (tmp_path / "poses.csv").write_text("longitude,latitude,height\n7,95,1000\n")
    nowhere = run(flight_log, server, tmp_path / "poses.csv")
    assert (nowhere.returncode, nowhere.stdout) == (1, "")
    assert nowhere.stderr == "error: view.geodetic.latitude_degrees = 95 is out of range: allowed are -90 to 90\n"
    (tmp_path / "poses.csv").write_text("longitude,latitude,height\n7,46,high\n")
    for arguments in ([], ["127.0.0.1:1", tmp_path / "poses.csv"], ["127.0.0.1:1", tmp_path / "none.csv"]):
        wrong = run(flight_log, *arguments)
        assert wrong.returncode == 2 and wrong.stderr.startswith("usage: flight_log ADDRESS")
