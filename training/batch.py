"""The distilled batch while it is being learned: the outer loop's parameters."""

import math

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn


class DistilledBatch(nn.Module):
    """Observations, targets and inner learning rate as parameters of the outer loop.

    Frames are whole numbers from 0 to 255, as the environment's are: ``rows`` are learned in units
    of 255, and rounded on the way to the learners, with the gradient of the identity.

    Args:
        space: The environment's observation space; observations are kept inside it.
        instances: Rows k.
        n_outputs: Outputs of the learner.
        inner_learning_rate: Where the inner learning rate starts.
        scale: Standard deviation of the first observations, that of the real ones.
        bounded: Whether their root mean square stays at most ``scale``. Grown rows drive tanh into
            saturation, where networks differ, and wide ones more than narrow ones.
        std: Where the standard deviations of a gaussian task start ``(n_outputs,)``; None for a
            categorical task.
        min_std: Floor under them ``(n_outputs,)``.
        observations: Where the observations start ``(k, *shape)``; None draws numbers.
    """

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
    ):
        super().__init__()
        self._unit = 255.0 if space.dtype == np.uint8 else 1.0
        if observations is None:
            observations = scale * torch.randn(instances, *space.shape)
        self.rows = nn.Parameter(observations / self._unit)
        targets = torch.randn(instances, n_outputs)
        if self._unit > 1:
            # Features behind ReLU are positive, so that of two actions which all rows order alike
            # one is never preferred, wherever the game stands; few rows often start so.
            targets -= targets.mean(0)
        self.targets = nn.Parameter(targets)
        # In log space it stays positive, and can grow a hundredfold within minutes.
        self.log_learning_rate = nn.Parameter(torch.tensor(math.log(inner_learning_rate)))
        self.target_log_std = None if std is None else nn.Parameter(std.log())
        self.register_buffer("_min_log_std", None if min_std is None else min_std.log(), False)
        for name in ("_low", "_high"):  # buffers, so that they move with the batch
            self.register_buffer(name, None, False)
        self._max_rms = scale if bounded else math.inf
        self.bound(space)

    @property
    def observations(self) -> Tensor:
        """The distilled observations ``(k, *shape)``."""
        if self._unit == 1:
            return self.rows
        frames = self._unit * self.rows
        return frames + (frames.round() - frames).detach()

    @property
    def learning_rate(self) -> Tensor:
        """The inner learning rate."""
        return self.log_learning_rate.exp()

    def bound(self, space: spaces.Box) -> None:
        """Take ``space`` as the bounds of observations from now on."""
        low, high = (torch.from_numpy(each / self._unit) for each in (space.low, space.high))
        self._low, self._high = low.to(self.rows), high.to(self.rows)
        self.project()

    @torch.no_grad()
    def project(self) -> None:
        """Put observations back inside their bounds, and the deviations above their floor."""
        rms = self.rows.square().mean().sqrt()
        self.rows *= (self._max_rms / rms).clamp(max=1)
        self.rows.clamp_(self._low, self._high)
        if self.target_log_std is not None:
            self.target_log_std.clamp_(min=self._min_log_std)
