"""``Rows``: what a distilled dataset holds, checked. ``dataset.py`` adds what is done with it."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from distilled_envs.errors import DatasetError
from distilled_envs.learners.networks import empty_encoder
from distilled_envs.learners.threads import torch_threads
from distilled_envs.pairs import Pairs
from distilled_envs.spec import DistillationSpec
from distilled_envs.storage.checks import check_rows
from distilled_envs.storage.source import Source
from distilled_envs.summary import as_html, facts, picture_of


class Rows(Pairs):
    """One batch of rows, with the spec and the encoder that belong to it.

    Args:
        observations: ``(k, n_inputs)``, or frames ``(k, stack, height, width)`` of 0 to 255.
        targets: ``(k, n_outputs)``: what a learner's outputs are regressed on.
        spec: What belongs to the rows.
        source: Where they came from.
        encoder: State of the encoder, where the spec's learner has one.

    Attributes:
        observations: float32 tensor on the CPU, of the shape above.
        targets: float32 tensor ``(k, n_outputs)`` on the CPU.
        spec: See :class:`~distilled_envs.spec.DistillationSpec`.
        source: See :class:`~distilled_envs.storage.source.Source`.
        encoder: The layers that all learners share, as a module from observations to features
            without gradients of its own; None if there are none.

    Raises:
        DatasetError: Shapes that don't fit each other or the spec, or numbers that aren't finite.
    """

    @torch_threads(1)
    def __init__(
        self,
        observations: Tensor | np.ndarray,
        targets: Tensor | np.ndarray,
        spec: DistillationSpec,
        source: Source | None = None,
        encoder: Mapping[str, Tensor] | None = None,
    ):
        self.observations = torch.as_tensor(observations).detach().to("cpu", torch.float32)
        self.targets = torch.as_tensor(targets).detach().to("cpu", torch.float32)
        self.spec = spec
        self.source = source or Source()
        check_rows(self.observations.numpy(), self.targets.numpy(), spec)
        self.encoder = self._build_encoder(encoder)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.spec.name!r}, {len(self)} rows: "
            f"observation {tuple(self.observations.shape[1:])} -> "
            f"target {tuple(self.targets.shape[1:])}, {self.source})"
        )

    def _repr_html_(self) -> str:
        rows = self.observations.numpy(), self.targets.numpy()
        said = facts(self.spec, len(self), self.source)
        return as_html(self.spec.name, said, picture_of(*rows))

    @property
    def is_plain(self) -> bool:
        """Whether learners are whole networks on rows of numbers: no frames, and no encoder."""
        return self.observations.dim() == 2 and self.encoder is None

    @property
    def features(self) -> Tensor:
        """What learners see of the rows: observations, encoded where there is an encoder."""
        return self.observations if self.encoder is None else self.encoder(self.observations)

    def _build_encoder(self, state: Mapping[str, Tensor] | None) -> nn.Sequential | None:
        level = self.spec.learner.encoder_level
        if level == 0 and state is None:
            return None
        if level == 0 or state is None:
            raise DatasetError(
                f"{self.spec.name}: encoder level {level} "
                f"{'needs an encoder' if state is None else 'has no encoder'}."
            )
        encoder = empty_encoder(self.spec.learner, self.spec.task.observation_shape)
        wanted = {name: tuple(value.shape) for name, value in encoder.state_dict().items()}
        given = {name: tuple(value.shape) for name, value in state.items()}
        if given != wanted:
            raise DatasetError(
                f"{self.spec.name}: an encoder of level {level} has the tensors {wanted}, "
                f"got {given}."
            )
        if not all(value.isfinite().all() for value in state.values()):
            raise DatasetError(f"{self.spec.name}: the encoder is not finite.")
        encoder.to_empty(device="cpu").load_state_dict(dict(state))
        return encoder.requires_grad_(False).eval()
