"""Which networks can take the one step: the k-shot validation of the paper, and SB3's policy.

Wilhelm & Ventura, arXiv 2508.09283, train other learners than those that a dataset was distilled
for: other initializations, widths, depths and activations.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import MissingExtraError, SettingsError
from distilled_envs.evaluation import EVALUATION_SEED, pooled
from distilled_envs.learners.threads import torch_threads
from distilled_envs.spec import InitializationSpec, LearnerSpec
from distilled_envs.studies.reports import score_cell

OWN = "as distilled for"
SB3 = "SB3's MlpPolicy"
MODES = ("sampled", "greedy")


def families(learner: LearnerSpec) -> dict[str, LearnerSpec]:
    """Kinds of networks, each like ``learner`` but for one thing, by what that is."""
    width = learner.hidden_sizes[0] if learner.hidden_sizes else 64
    change = dataclasses.replace
    kinds = {
        OWN: learner,
        "orthogonal, all gains 1": change(
            learner, initialization=InitializationSpec(hidden_gain=1.0, output_gain=1.0)
        ),
        "Xavier": change(learner, initialization=InitializationSpec("xavier")),
        "PyTorch's default": change(learner, initialization=InitializationSpec("pytorch")),
        "ReLU": change(learner, activation="relu"),
    }
    depth = len(learner.hidden_sizes)
    kinds |= {
        f"width {units}": change(learner, hidden_sizes=(units,) * depth)
        for units in (32, 64, 128, 256)
        if units != width
    }
    return kinds | {
        f"depth {layers}": change(learner, hidden_sizes=(width,) * layers)
        for layers in range(6)
        if layers != depth
    }


def generalize(
    dataset: DistilledDataset,
    *,
    learners: int = 32,
    episodes: int = 3,
    progress: Callable[[str], None] = lambda family: None,
) -> dict[str, Any]:
    """Let each kind of network take the one step, and play.

    Args:
        dataset: The distilled dataset.
        learners: Fresh networks of each kind.
        episodes: Episodes of each, in each action mode.
        progress: Called with the name of each kind before it is tried.

    Returns:
        ``dataset``, ``settings``, and ``families``: for each kind the scores of both action modes.

    Raises:
        MissingExtraError: Stable-Baselines3 is not installed.
        SettingsError: Counts below 1, or a dataset for CNNs.
    """
    if dataset.spec.learner.architecture != "mlp":
        raise SettingsError(f"{dataset.spec.name} is for CNNs, and the study is of MLPs.")
    try:
        from stable_baselines3 import PPO
    except ImportError:
        raise MissingExtraError("stable-baselines3", "The study", "sb3") from None
    found = {}
    for family, learner in families(dataset.spec.learner).items():
        progress(family)
        evaluation = dataset.evaluate(learner=learner, learners=learners, episodes=episodes)
        found[family] = {mode: getattr(evaluation, mode).to_dict() for mode in MODES}
    progress(SB3)
    env, evaluations = dataset.make_env(), []
    with torch_threads(1):
        for seed in range(EVALUATION_SEED, EVALUATION_SEED + learners):
            model = dataset.train(PPO("MlpPolicy", env, seed=seed, device="cpu"))
            evaluations.append(dataset.evaluate(model, episodes=episodes, seed=seed))
    env.close()
    found[SB3] = {mode: score.to_dict() for mode, score in pooled(evaluations).items()}
    return {
        "dataset": {"name": dataset.spec.name, "rows": len(dataset), "env": dataset.spec.env.id},
        "settings": {"learners": learners, "episodes": episodes},
        "families": found,
    }


def generalization_table(results: dict[str, Any]) -> list[list[str]]:
    """The results as rows of cells, the first the head."""
    rows = [["networks", "sampled actions", "likeliest actions"]]
    for family, scores in results["families"].items():
        rows.append([family, *(score_cell(scores[mode]) for mode in MODES)])
    return rows
