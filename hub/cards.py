"""The dataset card of a Hub repo: what its variants are, can train, and how they were made."""

import re
from collections.abc import Collection
from importlib import resources
from typing import Any

from huggingface_hub import DatasetCard, DatasetCardData

import distilled_envs
from distilled_envs.formatting import written, written_score
from distilled_envs.hub.baselines import baselines
from distilled_envs.spec import DistillationSpec
from distilled_envs.storage.folder import ROWS_FILE

TRAININGS = {
    "one_step": "one gradient step",
    "one_step_sticky": "one gradient step, sticky actions (0.25)",
    "one_step_256x256": "one gradient step, width 256",
    "adam_to_convergence": "Adam to convergence",
    "sb3_ppo_on_bandit": "SB3's PPO on the distilled environment",
}
"""Ways to train on the rows, by their key in a spec's evaluation."""


TAG = "distilled-envs"
"""The tag that published repos are found by."""

SIZES = {10**3: "n<1K", 10**4: "1K<n<10K", 10**5: "10K<n<100K", 10**6: "100K<n<1M"}


def picture_path(variant: str, picture: str) -> str:
    """Where a picture of a variant lies in a repo."""
    return f"images/{variant}-{picture}.png"


def make_card(
    repo_id: str,
    variants: dict[str, DistillationSpec],
    rows: int,
    *,
    license: str = "mit",
    files: Collection[str] = (),
) -> str:
    """The text of ``README.md``, with the YAML header that the Hub and ``datasets`` read.

    Args:
        repo_id: ``user/name``.
        variants: The repo's variants, by name; not empty.
        rows: Rows of the one that is published.
        license: The Hub's identifier of a license.
        files: Paths of the repo's files; pictures among them are shown.
    """
    variants = dict(sorted(variants.items(), key=lambda item: _natural(item[0])))
    spec = next(iter(variants.values()))
    header = DatasetCardData(
        license=license,
        task_categories=["reinforcement-learning"],
        tags=["gymnasium", "dataset-distillation", TAG, spec.family, spec.env.id],
        size_categories=next((name for size, name in SIZES.items() if rows < size), "1M<n<10M"),
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
        written=written,
        written_score=written_score,
        repo_id=repo_id,
        env_id=spec.env.id,
        kind=spec.task.kind,
        pictures_of_frames=spec.has_frames,
        variants=variants,
        trainings=TRAININGS,
        baselines={
            _environment(each): known
            for each in variants.values()
            if (known := baselines(each.env))
        },
        pictures={
            picture: {
                name: picture_path(name, picture)
                for name in variants
                if picture_path(name, picture) in files
            }
            for picture in ("rows", "curve")
        },
    )
    return str(card)


def _environment(spec: DistillationSpec) -> str:
    dims = spec.env.kwargs.get("dims")
    return spec.env.id if dims is None else f"{spec.env.id}, dims={dims}"


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts 2d before 10d."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _features(spec: DistillationSpec) -> list[dict[str, Any]]:
    shape = spec.task.observation_shape
    kind = "float32" if len(shape) == 1 else "image"  # a stack of frames is a list of pictures
    return [
        {"name": "observation", "list": kind, "length": shape[0]},
        {"name": "target", "list": "float32", "length": spec.task.n_outputs},
    ]
