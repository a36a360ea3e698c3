"""``Pairs``: observations and targets, as PyTorch's and Hugging Face's tools take them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, overload

from torch import Tensor

from distilled_envs.errors import MissingExtraError

if TYPE_CHECKING:
    import datasets


class Pairs:
    """Observations and targets that belong together.

    ``len`` and an index are of pairs, as a ``DataLoader`` needs them; unpacked it is two tensors:
    ``TensorDataset(*pairs)``, ``observations, targets = pairs``.

    Attributes:
        observations: ``(n, *obs_shape)``.
        targets: ``(n, n_outputs)``.
    """

    observations: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    @overload
    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Tensor, Tensor]: ...

    def __getitem__(self, index: int | slice) -> tuple[Tensor, Tensor]:
        return self.observations[index], self.targets[index]

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.observations, self.targets))

    def to_hf(self) -> "datasets.Dataset":
        """As a ``datasets.Dataset`` with columns ``observation`` and ``target``.

        Raises:
            MissingExtraError: ``datasets`` is not installed.
        """
        try:
            import datasets
        except ImportError:
            raise MissingExtraError("datasets", "A datasets.Dataset", "hub") from None
        shape = self.observations.shape[1:]
        numbers = datasets.List(datasets.Value("float32"), length=self.targets.shape[1])
        seen: Any = datasets.List(datasets.Value("float32"), length=shape[0])
        observations = self.observations
        if len(shape) == 3:  # frames are whole numbers, whatever their type here
            seen, observations = datasets.Array3D(tuple(shape), "uint8"), observations.byte()
        columns = {"observation": observations.numpy(), "target": self.targets.numpy()}
        features = datasets.Features({"observation": seen, "target": numbers})
        return datasets.Dataset.from_dict(columns, features=features)
