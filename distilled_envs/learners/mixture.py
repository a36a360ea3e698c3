"""A population of several kinds of networks, for a batch that is to teach each of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from distilled_envs.learners.population import Population
from distilled_envs.spec import LearnerSpec, TaskSpec


@dataclass(frozen=True)
class Mixture:
    """L networks of several kinds, in the order of their kinds; used as a ``Population`` is.

    Attributes:
        parts: A population of each kind.
    """

    parts: tuple[Population, ...]

    @classmethod
    def draw(
        cls,
        networks: Sequence[LearnerSpec],
        task: TaskSpec,
        size: int,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> Self:
        """Fresh networks, as many of each kind, or one more of the first ones.

        Args:
            networks: Architecture and initialization of each kind.
            task: Its observation shape and number of outputs.
            size: Number of networks L, at least that of kinds.
            generator: Source of randomness, on the CPU; None takes torch's global one.
            device: Where the networks are put.
        """
        share, more = divmod(size, len(networks))
        return cls(
            tuple(
                Population.draw(network, task, share + (place < more), generator, device)
                for place, network in enumerate(networks)
            )
        )

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __call__(self, observations: Tensor) -> Tensor:
        """Outputs of every network; shapes are those of :meth:`.population.Population.__call__`.

        Args:
            observations: ``(L, n, *shape)``, or ``(n, *shape)`` to show all of them the same.

        Returns:
            Outputs ``(L, n, n_outputs)``.
        """
        (own,) = {part.input_dim for part in self.parts}
        seen = observations.expand(len(self), *observations.shape[-own - 1 :])
        shares = seen.split([len(part) for part in self.parts])
        return torch.cat([part(share) for part, share in zip(self.parts, shares, strict=True)])

    def step(
        self,
        observations: Tensor,
        targets: Tensor,
        learning_rate: Tensor | float,
        *,
        keep_graph: bool = False,
    ) -> Self:
        """Every network after its one step; see :meth:`.population.Population.step`."""
        batch = observations, targets, learning_rate
        return type(self)(tuple(part.step(*batch, keep_graph=keep_graph) for part in self.parts))

    def is_finite(self) -> bool:
        """Whether every parameter is a finite number."""
        return all(part.is_finite() for part in self.parts)
