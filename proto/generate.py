"""Generate the Python code and type stubs of the wire contract: `python proto/generate.py <output root>`.

The proto path equals the import path, so what lies under the output root imports as it is.
"""

import subprocess
import sys
from pathlib import Path

PROTO_ROOT = Path(__file__).parent


def generate(output: Path) -> None:
    """Write `terraloom/v1/*_pb2*.py[i]` under `output`; raises `CalledProcessError` when the compiler fails."""
    plugin = Path(sys.executable).parent / "protoc-gen-mypy"
    sources = sorted(str(path.relative_to(PROTO_ROOT)) for path in PROTO_ROOT.rglob("*.proto"))
    command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={PROTO_ROOT}"]
    command += [f"--plugin=protoc-gen-mypy={plugin}", f"--plugin=protoc-gen-mypy_grpc={plugin}_grpc"]
    command += [f"--{kind}_out={'quiet:' if 'mypy' in kind else ''}{output}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    subprocess.run([*command, *sources], check=True)


if __name__ == "__main__":
    generate(Path(sys.argv[1]))
