"""Files that commands write."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from terraloom.errors import InvalidArgumentError


@contextmanager
def writing(file: Path) -> Iterator[Path]:
    """Make the folder of `file`, then write it in the body; what goes wrong there becomes an InvalidArgumentError that names the file."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        yield file
    except (OSError, ValueError) as error:  # Pillow raises ValueError for an unknown suffix
        raise InvalidArgumentError(f"cannot write {file}: {error}") from error
