"""Files that are written whole or not at all, and their hashes."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path that takes the place of ``path`` when the block ends without an error."""
    # The ending stays, since it tells some writers the format.
    handle, name = tempfile.mkstemp(prefix=".", suffix=f"-{path.name}", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sha256(path: Path) -> str:
    """A file's hash, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
