"""Which networks learn from a dataset, and in which way: by the one step, drawn anew, or by fit.

Wilhelm & Ventura, arXiv 2508.09283, score other learners than those that a dataset was distilled
for: with all gains 1, Xavier's normal initialization, widths of 32 to 256, and further layers that
are linear. These are here under their names, beside harder ones.
"""

import dataclasses
import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import MissingExtraError, OneStepWarning, SettingsError
from distilled_envs.evaluation import EVALUATION_SEED
from distilled_envs.learners.networks import make_policy
from distilled_envs.learners.threads import torch_threads
from distilled_envs.spec import InitializationSpec, LearnerSpec
from distilled_envs.storage.folder import ROWS_FILE

OWN = "as distilled for"
SB3 = "SB3's MlpPolicy"
MODES = ("sampled", "greedy")
TRAININGS = ("one step", "initialize", "fit")
"""What networks are trained by: the one step as they come, the one step after
``dataset.initialize``, and ``dataset.fit`` from as they come."""


def families(learner: LearnerSpec) -> dict[str, LearnerSpec]:
    """Kinds of networks, each like ``learner`` but for one thing, by what that is."""
    width = learner.hidden_sizes[0] if learner.hidden_sizes else 64
    change = dataclasses.replace
    kinds = {
        OWN: learner,
        "all gains 1 (paper)": change(
            learner, initialization=InitializationSpec(hidden_gain=1.0, output_gain=1.0)
        ),
        "Xavier": change(learner, initialization=InitializationSpec("xavier")),
        "PyTorch's default": change(learner, initialization=InitializationSpec("pytorch")),
        "ReLU": change(learner, activation="relu"),
    }
    depth = len(learner.hidden_sizes)
    kinds |= {
        f"width {units}": change(learner, hidden_sizes=(units,) * depth)
        for units in (32, 64, 128, 256, 512, 1024)
        if units != width
    }
    return kinds | {
        f"depth {layers}": change(learner, hidden_sizes=(width,) * layers)
        for layers in range(6)
        if layers != depth
    }


class Recurrent(nn.Module):
    """An LSTM that sees one observation as a sequence of one.

    Args:
        inputs: Numbers in an observation.
        outputs: Outputs.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.lstm, self.head = nn.LSTM(inputs, 64, batch_first=True), nn.Linear(64, outputs)

    def forward(self, observations: Tensor) -> Tensor:
        """Outputs ``(n, outputs)`` for observations ``(n, inputs)``."""
        return self.head(self.lstm(observations.unsqueeze(1))[0][:, -1])


def xavier_normal(learner: LearnerSpec, inputs: int, outputs: int) -> nn.Module:
    """A learner with Xavier's normal initialization and the usual gains: the paper's variant."""
    network = make_policy(learner, (inputs,), outputs)
    layers = [each for each in network.modules() if isinstance(each, nn.Linear)]
    for layer in layers:
        nn.init.xavier_normal_(layer.weight, 0.01 if layer is layers[-1] else math.sqrt(2))
        nn.init.zeros_(layer.bias)
    return network


def with_linear_layers(learner: LearnerSpec, inputs: int, outputs: int, extra: int) -> nn.Module:
    """A learner with further hidden layers that have no activation: the paper's variant.

    Args:
        learner: The network; it has a hidden layer.
        inputs: Numbers in an observation.
        outputs: Outputs.
        extra: Further layers, as wide as the last one and drawn as it is, before the outputs.
    """
    width = learner.hidden_sizes[-1]
    deep = dataclasses.replace(learner, hidden_sizes=(*learner.hidden_sizes, *(width,) * extra))
    layers = [*make_policy(deep, (inputs,), outputs)]
    kept = 2 * len(learner.hidden_sizes)  # each with its activation
    return nn.Sequential(
        *layers[:kept], *(each for each in layers[kept:] if isinstance(each, nn.Linear))
    )


def others(learner: LearnerSpec, inputs: int, outputs: int) -> dict[str, Callable[[], nn.Module]]:
    """The paper's variants that no spec says, and networks as people bring them, by their names.

    The latter have PyTorch's default initialization.

    Args:
        learner: The network that the dataset was distilled for.
        inputs: Numbers in an observation.
        outputs: Outputs.
    """

    def stacked(sizes: list[int], *after: Callable[[], nn.Module]) -> nn.Module:
        layers: list[nn.Module] = []
        for before, size in zip([inputs, *sizes], sizes, strict=False):
            layers += [nn.Linear(before, size), *(make() for make in after)]
        return nn.Sequential(*layers, nn.Linear(sizes[-1], outputs))

    made: dict[str, Callable[[], nn.Module]] = {
        "Xavier normal (paper)": partial(xavier_normal, learner, inputs, outputs)
    }
    for extra in (1, 2, 3) if learner.hidden_sizes else ():
        name = f"{extra} linear layer{'s' * (extra > 1)} more (paper)"
        made[name] = partial(with_linear_layers, learner, inputs, outputs, extra)
    return made | {
        "GELU": partial(stacked, [64, 64], nn.GELU),
        "SiLU": partial(stacked, [64, 64], nn.SiLU),
        "three ReLU layers of 256": partial(stacked, [256] * 3, nn.ReLU),
        "LayerNorm": partial(stacked, [64, 64], partial(nn.LayerNorm, 64), nn.Tanh),
        "LSTM": partial(Recurrent, inputs, outputs),
    }


def networks(dataset: DistilledDataset) -> dict[str, Callable[[int], Any]]:
    """All kinds of the study, each as a function that draws one by its seed."""
    (inputs,), task = dataset.spec.task.observation_shape, dataset.spec.task

    def seeded(make: Callable[[], Any], seed: int) -> Any:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return make()

    def like(spec: LearnerSpec, seed: int) -> nn.Module:
        return make_policy(spec, (inputs,), task.n_outputs, seed=seed)

    kinds: dict[str, Callable[[int], Any]] = {
        name: partial(like, spec) for name, spec in families(dataset.spec.learner).items()
    }
    unusual = others(dataset.spec.learner, inputs, task.n_outputs)
    kinds |= {name: partial(seeded, make) for name, make in unusual.items()}
    try:
        from stable_baselines3 import PPO
    except ImportError:
        raise MissingExtraError("stable-baselines3", "The study", "compare") from None
    env = dataset.make_env()

    def model(seed: int) -> Any:
        return PPO("MlpPolicy", env, seed=seed, device="cpu")

    return kinds | {SB3: model}


def generalize(
    dataset: DistilledDataset,
    *,
    learners: int = 32,
    episodes: int = 3,
    trainings: tuple[str, ...] = TRAININGS[:2],
    kinds: tuple[str, ...] = (),
    before: dict[str, Any] | None = None,
    keep: Callable[[dict[str, Any]], None] = lambda results: None,
    progress: Callable[[str], None] = lambda part: None,
) -> dict[str, Any]:
    """Train networks of each kind, and let them play.

    Args:
        dataset: The distilled dataset.
        learners: Fresh networks of each kind.
        episodes: Episodes of each, in each action mode.
        trainings: Some of :data:`TRAININGS`; a fit takes some seconds for each network.
        kinds: Names of the kinds to try; none of them tries all.
        before: Results of the same dataset and counts, which are kept and added to.
        keep: Called with the results after each training of each kind.
        progress: Called with the kind and the training before each.

    Returns:
        ``dataset``, ``settings``, and ``families``: for each kind, by training, the scores of both
        action modes, and as ``warned`` the share of networks of which the one step was warned
        about.

    Raises:
        MissingExtraError: Stable-Baselines3 is not installed.
        SettingsError: Counts below 1, a kind or a training that there is not, a dataset for CNNs,
            or results from before of another dataset or with other counts.
    """
    if not dataset.is_plain:
        raise SettingsError(
            f"{dataset.spec.name} is for CNNs or has an encoder, and the study is of whole MLPs: "
            "dataset.fit teaches others."
        )
    if learners < 1 or episodes < 1:
        raise SettingsError(
            f"learners and episodes must be at least 1, got {learners} and {episodes}."
        )
    known = networks(dataset)
    for what, asked, there in (("kind", kinds, known), ("training", trainings, TRAININGS)):
        if unknown := [each for each in asked if each not in there]:
            raise SettingsError(f"There is no {what} {unknown[0]!r}, only {', '.join(there)}.")
    results: dict[str, Any] = {
        "dataset": {
            "name": dataset.spec.name,
            "rows": len(dataset),
            "env": dataset.spec.env.id,
            "sha256": dataset.spec.files.get(ROWS_FILE),
        },
        "settings": {"learners": learners, "episodes": episodes},
        "families": {},
    }
    if before is not None:
        for part in ("dataset", "settings"):
            if before.get(part) != results[part]:
                raise SettingsError(
                    f"The results so far are of another study ({part} {before.get(part)} -> "
                    f"{results[part]}): write these to another folder."
                )
        results["families"] = before["families"]
    pairs = dataset.expand() if "fit" in trainings else None
    seeds = range(EVALUATION_SEED, EVALUATION_SEED + learners)

    def trained(kind: str, training: str) -> tuple[list[Any], int]:
        """Networks after a training, and how many of them were warned about."""
        fresh = map(known[kind], seeds)
        if training == "fit":
            return [dataset.fit(each, pairs) for each in fresh], 0
        if training == "initialize":
            fresh = map(dataset.initialize, fresh)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", OneStepWarning)
            policies = [dataset.train(each) for each in fresh]
        return policies, sum(each.category is OneStepWarning for each in caught)

    with torch_threads(1):
        for kind in kinds or known:
            found = results["families"].setdefault(kind, {})
            for training in trainings:
                if training in found or (kind, training) == ("LSTM", "initialize"):
                    continue  # an LSTM's layers are not drawn
                progress(f"{kind}, {training}")
                policies, warned = trained(kind, training)
                evaluation = dataset.evaluate(policies, episodes=episodes)
                found[training] = {mode: getattr(evaluation, mode).to_dict() for mode in MODES}
                if training == "one step":
                    found["warned"] = warned / learners
                keep(results)
    return results
