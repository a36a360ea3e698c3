"""The distilled batch while it is learned: the parameters of the outer loop."""

import math
from typing import Self

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from distilled_envs.spec import TaskSpec
from distilled_envs.training.settings import Settings
from distilled_envs.training.views import NumbersView


class DistilledBatch(nn.Module):
    """Observations, targets and inner learning rate as parameters of the outer loop.

    Distilled frames are whole numbers from 0 to 255, as the environment's are. The parameter
    ``rows`` holds them divided by 255; ``observations`` are rounded, with a straight-through
    gradient (rounding counts as the identity).

    Args:
        space: The environment's observation space; observations are kept inside it.
        instances: Rows k.
        n_outputs: Outputs of the learner.
        inner_learning_rate: Where the inner learning rate starts.
        scale: Standard deviation that the observations are drawn with; that of the real ones.
        bounded: Whether their root mean square stays at most ``scale``. Larger rows drive tanh into
            saturation, where networks of different draws and widths differ.
        std: Where the standard deviations of gaussian actions start ``(n_outputs,)``; None for a
            categorical task.
        min_std: Lower bound of these deviations ``(n_outputs,)``.
        observations: Where the observations start ``(k, *shape)``; None draws them.
        mirrored: Whether the second half of the rows mirrors the first; see :func:`mirror`.
    """

    target_log_std: nn.Parameter | None
    _min_log_std: Tensor | None
    _low: Tensor
    _high: Tensor

    def __init__(
        self,
        space: spaces.Box,
        instances: int,
        n_outputs: int,
        inner_learning_rate: float,
        scale: float = 1.0,
        bounded: bool = False,
        std: Tensor | None = None,
        min_std: Tensor | None = None,
        observations: Tensor | None = None,
        mirrored: bool = False,
    ):
        super().__init__()
        self._unit = 255.0 if space.dtype == np.uint8 else 1.0
        if observations is None:
            observations = scale * torch.randn(instances, *space.shape)
        self.rows = nn.Parameter(observations / self._unit)
        targets = torch.randn(instances, n_outputs)
        if self._unit > 1:
            # Features behind ReLU are all positive. If every row ranked action a above action b,
            # one step would make learners rank them so in every frame, and a handful of random
            # rows often does. Targets of mean 0 don't.
            targets -= targets.mean(0)
        self.targets = nn.Parameter(targets)
        # In log space it stays positive, and can change by factors of a hundred.
        self.log_learning_rate = nn.Parameter(torch.tensor(math.log(inner_learning_rate)))
        self.target_log_std = None if std is None else nn.Parameter(std.log())
        self.register_buffer("_min_log_std", None if min_std is None else min_std.log(), False)
        for name in ("_low", "_high"):  # buffers move to the device with the module
            self.register_buffer(name, None, False)
        self._max_rms = scale if bounded else math.inf
        self._mirrored = mirrored
        self.bound(space)

    @classmethod
    def from_settings(
        cls, settings: Settings, task: TaskSpec, env: gym.vector.VectorEnv, view: NumbersView
    ) -> Self:
        """The batch that a run starts from.

        Args:
            settings: The run's.
            task: How outputs become actions.
            env: Its environments. The deviations in settings are in units of their action bounds.
            view: Gives the space of the rows, and of frames the first ones.
        """
        actions, bounds = env.single_action_space, None
        if isinstance(actions, spaces.Box):
            bounds = torch.from_numpy((actions.high - actions.low) / 2)
        return cls(
            view.space,
            settings.instances,
            task.n_outputs,
            settings.initial_inner_learning_rate,
            scale=settings.observation_scale or 1.0,
            bounded=settings.observation_scale is not None,
            std=None if bounds is None else settings.initial_std * bounds,
            min_std=None if bounds is None else settings.min_std * bounds,
            observations=view.first_rows,
            mirrored=settings.mirrored,
        ).to(settings.device)

    @property
    def observations(self) -> Tensor:
        """The distilled observations ``(k, *shape)``."""
        if self._unit == 1:
            return self.rows
        frames = self._unit * self.rows
        return frames + (frames.round() - frames).detach()

    @torch.no_grad()
    def start_at(self, observations: Tensor) -> None:
        """Take other observations ``(k, *shape)``."""
        self.rows.copy_(observations / self._unit)

    @property
    def learning_rate(self) -> Tensor:
        """The inner learning rate."""
        return self.log_learning_rate.exp()

    def bound(self, space: spaces.Box) -> None:
        """Keep observations inside ``space`` from now on."""
        low, high = (torch.from_numpy(each / self._unit) for each in (space.low, space.high))
        self._low, self._high = low.to(self.rows), high.to(self.rows)
        self.project()

    @torch.no_grad()
    def project(self) -> None:
        """Move rows and deviations to the nearest allowed ones."""
        if self._mirrored:
            self.rows.copy_(mirror(self.rows))
            self.targets.copy_(mirror(self.targets))
        rms = self.rows.square().mean().sqrt()
        self.rows.mul_((self._max_rms / rms).clamp(max=1))
        self.rows.clamp_(self._low, self._high)
        if self.target_log_std is not None:
            self.target_log_std.clamp_(min=self._min_log_std)

    def parameter_groups(self, settings: Settings) -> list[tuple[float, list[nn.Parameter]]]:
        """Learning rates and the parameters that they are for."""
        if settings.target_learning_rate is None:
            return [(settings.learning_rate, [*self.parameters()])]
        others = [each for each in self.parameters() if each is not self.targets]
        targets = (settings.target_learning_rate, [self.targets])
        return [(settings.learning_rate, others), targets]

    def fault(self) -> str | None:
        """Why learning can't go on from here; None if it can."""
        if not all(parameter.isfinite().all() for parameter in self.parameters()):
            return "the distilled batch is not finite"
        rate = self.learning_rate.item()
        return None if 0 < rate < math.inf else f"the inner learning rate is {rate}"

    def log_std(self) -> tuple[float, ...] | None:
        """The learned log standard deviations ``(n_outputs,)`` of a gaussian task."""
        return None if self.target_log_std is None else tuple(self.target_log_std.tolist())

    def summary(self) -> dict[str, float]:
        """Metrics: the inner learning rate, and the root mean squares of rows and targets."""
        return {
            "inner_learning_rate": self.learning_rate.item(),
            "observations_rms": self.observations.detach().square().mean().sqrt().item(),
            "targets_rms": self.targets.detach().square().mean().sqrt().item(),
        }


def mirror(values: Tensor) -> Tensor:
    """The nearest values ``(k, ...)`` whose second half is the negative of the first.

    >>> mirror(torch.tensor([[3.0], [-1.0]]))
    tensor([[ 2.],
            [-2.]])
    """
    first, second = values.chunk(2)
    half = (first - second) / 2
    return torch.cat([half, -half])
