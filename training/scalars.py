"""The log of scalars, for TensorBoard where that is installed."""

import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from distilled_envs.errors import StorageError
from distilled_envs.installation import install_command
from distilled_envs.storage.files import writing

logger = logging.getLogger(__name__)


class Scalars:
    """Scalars over environment steps in a folder; without TensorBoard there are none.

    Args:
        folder: Where; None keeps none.
        first_step: Step from which what an earlier process wrote is hidden, as it is done again.

    Raises:
        StorageError: The folder can't be written.
    """

    def __init__(self, folder: Path | None, first_step: int = 0):
        self._writer, self._threads = None, set[threading.Thread]()
        if folder is None:
            return
        self._folder = folder
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            logger.info(
                "TensorBoard is not installed, so there is no log of scalars: `%s` brings it.",
                install_command("train"),
            )
            return
        others = {*threading.enumerate()}
        with writing(folder):
            self._writer = SummaryWriter(str(folder), purge_step=first_step)
        self._threads = {*threading.enumerate()} - others

    def add(self, scalars: Mapping[str, float], step: int) -> None:
        """Values at a step.

        Raises:
            StorageError: They can't be written.
        """
        if self._writer is not None:
            with writing(self._folder):
                for name, value in scalars.items():
                    self._writer.add_scalar(name, value, step)

    def __enter__(self) -> Self:
        self._hook, threading.excepthook = threading.excepthook, self._without_log
        return self

    def _without_log(self, failed: Any) -> None:
        """Nothing of the thread that writes the log: what fails there, ``add`` raises again."""
        if not isinstance(failed.exc_value, OSError) or failed.thread not in self._threads:
            self._hook(failed)

    def __exit__(self, kind: type | None, *_: Any) -> None:
        """Write what is left; what went wrong before is not hidden by what goes wrong now."""
        try:
            if self._writer is not None:
                with writing(self._folder):
                    self._writer.close()
        except StorageError:
            if kind is None:
                raise
        finally:
            threading.excepthook = self._hook
