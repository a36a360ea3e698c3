"""The dataset card of a Hub repo: what its variants are, can train, and how they were made."""

from importlib import resources
from typing import Any

from huggingface_hub import DatasetCard, DatasetCardData

import distilled_envs
from distilled_envs.spec import DistillationSpec
from distilled_envs.storage import ROWS_FILE

TRAININGS = {
    "one_step": "one gradient step",
    "one_step_256x256": "one gradient step, width 256",
    "adam_to_convergence": "Adam to convergence",
    "sb3_ppo_on_bandit": "SB3's PPO on the distilled environment",
}
"""Ways to train on the rows, by their key in a spec's evaluation."""

AUTHORS = {
    "ant": 217,
    "halfcheetah": 968,
    "hopper": 285,
    "humanoid": 350,
    "humanoidstandup": 73_936,
    "inverteddoublependulum": 139,
    "reacher": -11.5,
    "walker2d": 59,
}
"""Mean return of the sets that the paper's authors released, sampled actions, same protocol."""


def make_card(repo_id: str, variants: dict[str, DistillationSpec], rows: int) -> str:
    """The text of ``README.md``, with the YAML header that the Hub and ``datasets`` read.

    Args:
        repo_id: ``user/name``.
        variants: The repo's variants, by name; not empty.
        rows: Rows of the one that is published.
    """
    variants = dict(sorted(variants.items()))
    spec = next(iter(variants.values()))
    header = DatasetCardData(
        license="mit",
        task_categories=["reinforcement-learning"],
        tags=["gymnasium", "dataset-distillation", "distilled-envs", spec.family, spec.env.id],
        size_categories="n<1K" if rows < 1_000 else "1K<n<10K" if rows < 10_000 else "n>10K",
        pretty_name=f"Distilled {spec.env.name}",
        configs=[
            {
                "config_name": name,
                "data_files": [{"split": "train", "path": f"{name}/{ROWS_FILE}"}],
            }
            for name in variants
        ],
        dataset_info=[
            {"config_name": name, "features": _features(each)} for name, each in variants.items()
        ],
    )
    template = resources.files(distilled_envs.hub).joinpath("card.md.jinja").read_text("utf-8")
    card = DatasetCard.from_template(
        header,
        template_str=template,
        repo_id=repo_id,
        env_id=spec.env.id,
        kind=spec.task.kind,
        variants=variants,
        trainings=TRAININGS,
        authors=AUTHORS.get(spec.family),
    )
    return str(card)


def _features(spec: DistillationSpec) -> list[dict[str, Any]]:
    lengths = {"observation": spec.task.observation_shape[0], "target": spec.task.n_outputs}
    return [{"name": n, "list": "float32", "length": length} for n, length in lengths.items()]
