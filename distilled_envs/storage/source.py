"""``Source``: where a dataset came from."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Source:
    """Where a dataset came from.

    Attributes:
        kind: ``"bundled"`` with the package, a ``"folder"``, the ``"hub"``, or ``"memory"``.
        location: Folder, or repo and variant as ``load_distilled`` takes them; empty for memory.
        revision: Commit of the Hub repo, else None.
    """

    kind: Literal["bundled", "folder", "hub", "memory"] = "memory"
    location: str = ""
    revision: str | None = None

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{self.kind} {self.location}{revision}".strip()
