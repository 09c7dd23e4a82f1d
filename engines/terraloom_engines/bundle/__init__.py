"""Bundles: trained networks and a base, with a manifest that says where they came from and what they are worth."""

import hashlib
import json
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from terraloom.errors import DataLossError, NotFoundError


def embedded_bundles() -> dict[str, Path]:
    """Name and folder of every bundle inside the package."""
    root = Path(str(files("terraloom_engines"))) / "bundle" / "data"
    return {path.name: path for path in sorted(root.iterdir()) if (path / "manifest.json").exists()} if root.exists() else {}


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: its folder, manifest and digest (SHA-256 of the manifest, which holds the digests of all files)."""

    folder: Path
    digest: str
    manifest: dict[str, Any] = field(repr=False)

    @classmethod
    def open(cls, folder: Path) -> "Bundle":
        """Read and verify a bundle. Raises NotFoundError without a manifest, DataLossError for a damaged file."""
        try:
            text = (folder / "manifest.json").read_bytes()
            manifest: dict[str, Any] = json.loads(text)
        except FileNotFoundError as error:
            raise NotFoundError(
                f"no bundle in {folder}: manifest.json is missing; the embedded ones are {sorted(embedded_bundles())}"
            ) from error
        except ValueError as error:
            raise DataLossError(f"manifest.json of bundle {folder.name} is not JSON ({error}); reinstall the bundle") from error
        if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
            raise DataLossError(f"manifest.json of bundle {folder.name} is not a manifest: it names no files; reinstall the bundle")
        for name, digest in manifest["files"].items():
            path = folder / name
            if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                raise DataLossError(f"file {name} of bundle {folder.name} is missing or damaged (SHA-256 differs); reinstall the bundle")
        return cls(folder, hashlib.sha256(text).hexdigest(), manifest)

    def model(self, network: str) -> bytes:
        """The serialised ONNX graph of a network."""
        return (self.folder / f"{network}.onnx").read_bytes()
