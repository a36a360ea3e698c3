"""Layers that all learners share: how they are drawn, and policies that stand behind them.

Wilhelm & Ventura, arXiv 2508.09283, split the Atari network: the first layers are learned by the
outer loop and shipped with the dataset; only the rest is a learner, drawn anew and trained in one
step. Networks on vectors are split in the same way.
"""

import itertools

import torch
from torch import Tensor, nn

from distilled_envs.errors import PolicyError
from distilled_envs.learners.layers import UsedLayer, restored, used_layers
from distilled_envs.learners.networks import empty_encoder, has_weights
from distilled_envs.learners.policies import read_policy
from distilled_envs.learners.sb3_policies import is_sb3_policy
from distilled_envs.spec import LearnerSpec

SILENT = 0.98
"""Share of an encoder's last feature maps that starts silent."""


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
    policy: nn.Module | object, encoder: nn.Sequential, observations: Tensor, name: str
) -> list[nn.Parameter]:
    """What the one step trains of a policy behind an encoder; the policy is left as it was.

    Args:
        policy: What the dataset's ``with_encoder`` gave, or an SB3 model whose first layers can
            become the encoder's.
        encoder: The dataset's.
        observations: Some of the dataset's ``(n, *obs_shape)``.
        name: The dataset's name, for errors.

    Returns:
        Its parameters without the encoder's.

    Raises:
        PolicyError: The policy has no place for the encoder, or another one.
    """
    kind = read_policy(policy)
    module = kind.module
    if isinstance(module, EncodedPolicy):
        theirs, ours = module.encoder.state_dict(), encoder.state_dict()
        if theirs.keys() != ours.keys() or not all(
            torch.equal(theirs[name].to(value), value) for name, value in ours.items()
        ):
            raise PolicyError(
                f"The policy has another encoder than {name}: put its learner behind "
                "this one with dataset.with_encoder(learner)."
            )
        return [p for p in module.learner.parameters() if p.requires_grad]
    if not is_sb3_policy(module):
        raise PolicyError(
            f"{name} has an encoder, and {type(policy).__name__} has no place for it: "
            "put your learner behind it with dataset.with_encoder(learner), or take a model of "
            "Stable-Baselines3."
        )
    used = used_layers(policy, observations)
    shapes = [tuple(each.weight.shape) for each in encoder if has_weights(each)]
    found = [tuple(each.layer.weight.shape) for each in used]
    if found[: len(shapes)] != shapes or len(found) == len(shapes):
        raise PolicyError(
            f"{type(policy).__name__}'s layers have weights of shapes {found}, and the encoder's, "
            f"which must come first, have {shapes}: {_as_sb3_has_it(encoder, shapes)}."
        )
    with restored(module):
        place_encoder(policy, encoder, observations)
        same = _sees(used_layers(policy, observations)[len(shapes)], encoder(observations))
    if not same:
        raise PolicyError(
            f"{type(policy).__name__} makes something else of the encoder's weights than {name} "
            f"does: {_as_sb3_has_it(encoder, shapes)}."
        )
    taken = {id(p) for each in used[: len(shapes)] for p in each.layer.parameters()}
    return [p for p in kind.parameters if id(p) not in taken]


def place_encoder(policy: nn.Module | object, encoder: nn.Sequential, observations: Tensor) -> None:
    """Give an SB3 model the encoder's weights for its first layers.

    Afterwards they can be trained on as all others. What :func:`learner_parameters` accepts fits;
    policies of ``with_encoder`` have them already.
    """
    if isinstance(read_policy(policy).module, EncodedPolicy):
        return
    shared = [each for each in encoder if has_weights(each)]
    for used, source in zip(used_layers(policy, observations), shared, strict=False):
        used.layer.load_state_dict(source.state_dict())


def _sees(layer: UsedLayer, features: Tensor) -> bool:
    """Whether a layer was shown an encoder's features, but for rounding."""
    shown = layer.inputs.detach().to(features)
    tolerance = 0.1 if layer.inputs.dtype.itemsize < 4 else 1e-4
    return shown.shape == features.shape and torch.allclose(
        shown, features, rtol=tolerance, atol=tolerance
    )


def _as_sb3_has_it(encoder: nn.Sequential, shapes: list[tuple[int, ...]]) -> str:
    """How a model of Stable-Baselines3 is made whose first layers are like an encoder's."""
    if len(shapes[0]) > 2:
        return "take CnnPolicy, and leave its features_extractor_kwargs as they are"
    sizes, activation = [shape[0] for shape in shapes], type(encoder[1]).__name__
    return (
        f"make the model with policy_kwargs=dict(net_arch={sizes}, "
        f"activation_fn=torch.nn.{activation})"
    )


def make_encoder(
    spec: LearnerSpec, observations: Tensor, given: nn.Sequential | None = None
) -> nn.Sequential:
    """The layers of :func:`empty_encoder`, orthogonal, and scaled to what they will see.

    Two frames of a game differ in a handful of pixels, and so little do a random network's
    features of them (in Pong by 5 parts in 100) that a step on a few rows changes all of a
    learner's answers alike. So each channel or unit starts with mean 0 and variance 1 over
    observations (Krahenbuhl et al., "Data-dependent Initializations of Convolutional Neural
    Networks", 2016). A convolution at the end is shifted and scaled once more, so that 2% of each
    channel's places are active, and their mean square is 1 over all places.

    Args:
        spec: Architecture; its encoder level says where the network is split.
        observations: What the network is for, ``(n, *shape)``, n at least 2.
        given: Another encoder, whose layers are taken where their shapes fit. One of the same
            level is taken as it is.
    """
    encoder = empty_encoder(spec, tuple(observations.shape[1:])).to_empty(device="cpu")
    hidden, known = observations, [] if given is None else [*given]
    with torch.no_grad():
        for layer, own in itertools.zip_longest(encoder, known[: len(encoder)]):
            if has_weights(layer) and has_weights(own) and own.weight.shape == layer.weight.shape:
                layer.load_state_dict(own.state_dict())
            elif has_weights(layer):
                nn.init.orthogonal_(layer.weight)
                nn.init.zeros_(layer.bias)
                drawn = layer(hidden)
                others = tuple(place for place in range(drawn.dim()) if place != 1)
                mean, std = drawn.mean(others), drawn.std(others)
                std = std.clamp(min=0.1 * std.mean()).clamp(min=1e-6)  # a unit may see no change
                layer.weight /= std.view(-1, *[1] * (layer.weight.dim() - 1))
                layer.bias -= mean / std
            hidden = layer(hidden)
        if len(known) != len(encoder):  # the fresh layers that follow did not follow before
            _silence_background(encoder, observations)
    return encoder


def rounded_state(encoder: nn.Sequential) -> dict[str, Tensor]:
    """An encoder's state on the CPU, rounded to half precision, as the file keeps it."""
    return {name: value.cpu().half().float() for name, value in encoder.state_dict().items()}


def _silence_background(encoder: nn.Sequential, observations: Tensor) -> None:
    """Make a convolution at the encoder's end answer only where it answers most.

    Fresh layers follow, which weigh all places alike: what stands still on the screen would drown
    what moves.
    """
    places = [place for place, layer in enumerate(encoder) if has_weights(layer)]
    if not places or not isinstance(layer := encoder[places[-1]], nn.Conv2d):
        return
    drawn = encoder[: places[-1] + 1](observations).transpose(0, 1).flatten(1)
    threshold = drawn.quantile(SILENT, dim=1)
    size = (drawn - threshold.unsqueeze(1)).relu().square().mean().sqrt().clamp(min=1e-6)
    assert layer.bias is not None
    layer.weight /= size
    layer.bias.sub_(threshold).div_(size)
