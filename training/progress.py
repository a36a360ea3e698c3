"""What a run has done so far, beside what it has learned."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Progress:
    """What a run's provenance will tell; it is kept in every checkpoint.

    Attributes:
        seconds: Wall time.
        trial_steps: Environment steps before the first iteration.
        returns: Environment steps and mean return of recent episodes, for each iteration in which
            there was one.
    """

    seconds: float = 0.0
    trial_steps: int = 0
    returns: list[tuple[int, float]] = field(default_factory=list)

    @classmethod
    def from_checkpoint(cls, state: dict[str, Any]) -> "Progress":
        """What a checkpoint holds; in a run from before a field existed it starts there."""
        return cls(**{name: state[name] for name in cls.__dataclass_fields__ if name in state})

    def to_checkpoint(self) -> dict[str, Any]:
        """What :meth:`from_checkpoint` reads."""
        return asdict(self)

    def note(self, steps: int, value: float) -> None:
        """Add an iteration's return; before the first episode has ended there is none."""
        if math.isfinite(value):
            self.returns.append((steps, value))

    def curve(self, points: int = 60) -> dict[str, list[float]]:
        """Returns over environment steps, thinned out."""
        last = len(self.returns) - 1
        places = {round(i * last / (points - 1)) for i in range(points)} if self.returns else ()
        chosen = [self.returns[place] for place in sorted(places)]
        return {
            "env_steps": [steps for steps, _ in chosen],
            "return": [round(value, 2) for _, value in chosen],
        }
