"""What the protocol found: returns of both action modes, summarized."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from distilled_envs.evaluation.statistics import bootstrap_interval, interquartile_mean
from distilled_envs.formatting import written, written_score
from distilled_envs.spec import ONE_ACTION
from distilled_envs.summary import as_html


@dataclass(frozen=True, repr=False)
class Score:
    """Returns in the real environment, in one action mode.

    Attributes:
        returns: Undiscounted returns ``(learners, episodes)``.
        mean: Mean over learners (each the mean of its episodes).
        std: Standard deviation between learners; between episodes if there is one learner.
        ci95: 95% percentile-bootstrap interval of the mean, resampling learners (or the episodes
            of the only one); None for a single number.
        iqm: Interquartile mean over learners (or episodes).
    """

    returns: np.ndarray
    mean: float
    std: float
    ci95: tuple[float, float] | None
    iqm: float

    @classmethod
    def of(cls, returns: np.ndarray) -> "Score":
        """Summarize returns ``(learners, episodes)``."""
        units = returns.mean(axis=1) if len(returns) > 1 else returns[0]
        return cls(
            returns=returns,
            mean=float(units.mean()),
            std=float(units.std(ddof=1)) if len(units) > 1 else 0.0,
            ci95=bootstrap_interval(units),
            iqm=float(interquartile_mean(units)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Numbers for ``distillation.json``, rounded to three places."""
        ci95 = None if self.ci95 is None else [round(bound, 3) for bound in self.ci95]
        numbers = {key: round(getattr(self, key), 3) for key in ("mean", "std", "iqm")}
        return numbers | {"ci95": ci95}

    def __repr__(self) -> str:
        return f"Score({written_score(vars(self))})"

    def __str__(self) -> str:
        interval = ""
        if self.ci95 is not None:
            interval = f", 95% [{', '.join(map(written, self.ci95))}]"
        return f"{written(self.mean)}{interval}, std {written(self.std)}, IQM {written(self.iqm)}"


@dataclass(frozen=True, repr=False)
class Evaluation:
    """What :func:`evaluate` found.

    Attributes:
        sampled: Actions drawn from the policy.
        greedy: The most likely action (the mean, for gaussian policies).
        learners: Number of networks.
        episodes: Episodes each network played, in each mode.
        seed: Seed of initializations, environments and actions.
        actions: Share of steps in which each action was the likeliest; None where actions are no
            ``Discrete``.
        sticky: Probability with which a game repeated the action before; None where it was as the
            dataset has it.
    """

    sampled: Score
    greedy: Score
    learners: int
    episodes: int
    seed: int
    actions: tuple[float, ...] | None = None
    sticky: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The record that ``distillation.json`` keeps."""
        protocol = {"learners": self.learners, "episodes": self.episodes, "seed": self.seed}
        given: dict[str, Any] = {} if self.sticky is None else {"sticky": self.sticky}
        if self.actions is not None:
            given["actions"] = [round(share, 3) for share in self.actions]
        scores = {"sampled": self.sampled.to_dict(), "greedy": self.greedy.to_dict()}
        return protocol | given | scores

    def __repr__(self) -> str:
        return f"Evaluation({self.sampled!r} sampled, {self.greedy!r} greedy, over {self._over})"

    def __str__(self) -> str:
        return (
            f"mean return over {self._over} (std between {self._units})\n"
            f"  sampled  {self.sampled}\n"
            f"  greedy   {self.greedy}{self._one_action}"
        )

    def _repr_html_(self) -> str:
        modes = ("sampled", str(self.sampled)), ("greedy", str(self.greedy))
        return as_html(f"Mean return over {self._over}, std between {self._units}", modes)

    @property
    def _one_action(self) -> str:
        """A line that says so where the policy looks at nothing."""
        if self.actions is None or max(self.actions) < ONE_ACTION:
            return ""
        share = max(self.actions)
        return (
            f"\n  action {self.actions.index(share)} is the likeliest in {share:.0%} of all steps"
        )

    @property
    def _over(self) -> str:
        who = f"{self.learners} learners x " if self.learners > 1 else ""
        return f"{who}{self.episodes} episode{'s' * (self.episodes > 1)}"

    @property
    def _units(self) -> str:
        return "learners" if self.learners > 1 else "episodes"
