"""Files that are written whole or not at all, by one process at a time, and their hashes."""

import errno
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from distilled_envs.errors import DatasetError, DistilledEnvsError, SettingsError, StorageError
from distilled_envs.formatting import in_a_line

logger = logging.getLogger(__name__)

LOCK = ".lock"
"""File in a folder that one process works in; it stays, and means nothing when none does."""
_UNFINISHED = ".unfinished-"
"""How names begin of what is not yet whole, and of what a process left that was killed."""
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def given_path(path: str | Path) -> Path:
    """A path as people write it, with ``~`` for their home.

    Raises:
        SettingsError: It is the home of nobody.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise SettingsError(f"{path} is in the home of a user who is not known here.") from None


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What keeps a file or a folder from being written, in one sentence.

    Raises:
        StorageError: The disk is full or read-only, or there can be no such path.
    """
    try:
        yield
    except DistilledEnvsError:
        raise
    except OSError as error:
        why = f"{in_a_line(error)}: choose another place"
        if error.errno in _NO_ROOM:
            why = (
                "there is no room left on its disk: make some, and give the same command again "
                "(a run goes on with --resume), since nothing that was there is lost"
            )
        elif error.errno in _FORBIDDEN:
            why = "its folder is read-only: choose another place"
        raise StorageError(f"{path} can't be written, {why}.") from error


def make_folder(path: Path) -> None:
    """A folder, with those that it lies in, where there is none.

    Raises:
        StorageError: It can't be made.
    """
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """A folder, made if need be, in which no other process works inside the block.

    The system itself ends a lock with the process that held it, however that ended.

    Raises:
        StorageError: Another process works there, or the folder can't be made.
    """
    make_folder(folder)
    lock = FileLock(folder / LOCK)
    with writing(folder):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise StorageError(
                f"Another process works in {folder}: wait until it ends, or choose another folder."
            ) from None
        except (OSError, NotImplementedError) as error:
            if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
                raise
            logger.warning("%s is on a disk without locks: start no second run there.", folder)
    try:
        yield
    finally:
        lock.release()


def sweep(folder: Path) -> None:
    """Remove what a process that was killed has left in a folder of its own."""
    with writing(folder):
        for left in folder.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()


def is_taken(folder: Path) -> bool:
    """Whether something is there, other than what is left of a process that was killed."""
    if not folder.is_dir():
        return folder.exists() or folder.is_symlink()
    names = (each.name for each in folder.iterdir())
    return any(name != LOCK and not name.startswith(_UNFINISHED) for name in names)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path that takes the place of ``path`` when the block ends without an error.

    Raises:
        StorageError: It can't be written.
    """
    with writing(path):
        # The ending stays, since it tells some writers the format.
        handle, name = tempfile.mkstemp(prefix=_UNFINISHED, suffix=path.name, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes ``folder`` when the block ends without an error.

    Raises:
        DatasetError: The folder holds something already.
        StorageError: It can't be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DatasetError(f"{folder} exists already: choose another folder, or remove it first.")
    make_folder(folder.parent)
    with writing(folder):
        temporary = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=folder.parent))
        try:
            yield temporary
            temporary.chmod(0o755)
            os.replace(temporary, folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def sha256(path: Path) -> str:
    """A file's hash, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
