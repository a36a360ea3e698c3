"""A policy behind an encoder: the shared layers with a learner on top, or inside SB3's CNN policy.

Wilhelm & Ventura, arXiv 2508.09283, split the Atari network: the first layers are learned by the
outer loop and shipped with the dataset; only the rest is a learner, drawn anew and trained in one
step.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from distilled_envs.errors import PolicyError
from distilled_envs.policies import policy_module

if TYPE_CHECKING:
    from distilled_envs.dataset import DistilledDataset


class EncodedPolicy(nn.Module):
    """A learner on an encoder's features, as a policy on observations.

    Args:
        encoder: Observations ``(n, *obs_shape)`` to features; its parameters are not trained.
        learner: Features to outputs ``(n, n_outputs)``.
    """

    def __init__(self, encoder: nn.Module, learner: nn.Module):
        super().__init__()
        self.encoder, self.learner = encoder, learner

    def forward(self, observations: Tensor) -> Tensor:
        """Outputs ``(n, n_outputs)`` for observations."""
        return self.learner(self.encoder(observations))


def learner_parameters(
    policy: nn.Module | object, dataset: "DistilledDataset"
) -> list[nn.Parameter]:
    """What the one step trains of a policy behind a dataset's encoder.

    A Stable-Baselines3 model with a ``CnnPolicy`` is given the encoder's weights for its first
    layers; afterwards they can be trained on as all others.

    Args:
        policy: What the dataset's ``with_encoder`` gave, or an SB3 model.
        dataset: A dataset with an encoder.

    Returns:
        Its parameters without the encoder's.

    Raises:
        PolicyError: The policy has no place for the encoder, or another one.
    """
    module, encoder = policy_module(policy), dataset.encoder
    if isinstance(module, EncodedPolicy):
        theirs, ours = module.encoder.state_dict(), encoder.state_dict()
        if theirs.keys() != ours.keys() or not all(
            torch.equal(theirs[name].to(value), value) for name, value in ours.items()
        ):
            raise PolicyError(
                f"The policy has another encoder than {dataset.spec.name}: put its learner behind "
                "this one with dataset.with_encoder(learner)."
            )
        return [p for p in module.learner.parameters() if p.requires_grad]
    extractor = getattr(module, "pi_features_extractor", None)
    if not hasattr(extractor, "cnn"):
        raise PolicyError(
            f"{dataset.spec.name} has an encoder, and {type(policy).__name__} has no place for it: "
            "put your learner behind it with dataset.with_encoder(learner), or take "
            "Stable-Baselines3's CnnPolicy."
        )
    layers = [each for each in extractor.modules() if hasattr(each, "weight")]
    shared = [each for each in encoder if hasattr(each, "weight")]
    shapes = [
        [tuple(each.weight.shape) for each in part] for part in (layers[: len(shared)], shared)
    ]
    if shapes[0] != shapes[1]:
        raise PolicyError(
            f"{type(policy).__name__}'s first layers have weights of shapes {shapes[0]}, and the "
            f"encoder's have {shapes[1]}: leave SB3's features_extractor_kwargs as they are."
        )
    n_outputs = module.action_net.out_features
    if n_outputs != dataset.spec.task.n_outputs:  # before anything of it is changed
        raise PolicyError(
            f"{type(policy).__name__} has {n_outputs} outputs, and {dataset.spec.name} needs "
            f"{dataset.spec.task.n_outputs}."
        )
    with torch.no_grad():
        for layer, source in zip(layers, shared, strict=False):
            layer.weight.copy_(source.weight)
            layer.bias.copy_(source.bias)
    given = {id(p) for layer in layers[: len(shared)] for p in layer.parameters()}
    return [p for p in module.parameters() if p.requires_grad and id(p) not in given]
