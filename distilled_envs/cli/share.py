"""The commands ``publish``, ``list`` and ``show``: datasets as they are shared.

``list`` and ``show`` read files and print; only a figure needs torch.
"""

import dataclasses
import time
from pathlib import Path
from typing import Any

import tyro

from distilled_envs.catalog import Entry, entries
from distilled_envs.cli.choice import Choice
from distilled_envs.cli.terminal import print_facts, print_json, print_table
from distilled_envs.envs.registering import distilled_id
from distilled_envs.errors import HubError, MissingExtraError, SettingsError
from distilled_envs.formatting import written_score
from distilled_envs.spec import DistillationSpec
from distilled_envs.storage.checks import check_rows
from distilled_envs.storage.files import atomic_path, given_path
from distilled_envs.storage.folder import read_folder
from distilled_envs.storage.source import Source
from distilled_envs.studies.reports import drawn
from distilled_envs.summary import facts

ROWS_SHOWN = 5


def publish(
    name: tyro.conf.Positional[str],
    *,
    repo: str,
    private: bool = False,
    revision: str | None = None,
    create_pr: bool = False,
    license: str | None = None,
    dry_run: bool = False,
) -> None:
    """Put a dataset on the Hugging Face Hub, as a variant of a repo.

    Args:
        name: Folder of a run or of a dataset, or a name from `distilled-envs list`.
        repo: Repo id, user/name; by custom user/distilled-FAMILY. It is made if need be.
        private: Make it private.
        revision: Branch to commit to; main if not given.
        create_pr: Open a pull request instead.
        license: The Hub's identifier of a license; that of the repo if not given, or mit.
        dry_run: Write the files, pictures and card into a new folder of runs instead; needs no
            token and no network.
    """
    from distilled_envs import hub

    if dry_run and (private or create_pr or revision is not None):
        raise SettingsError(
            "--dry-run shows what a new repo would hold: leave out --private, --create-pr and "
            "--revision."
        )
    if dry_run:
        folder = Path("runs") / f"publish-{time.strftime('%Y%m%d-%H%M%S')}"
        for path in hub.preview(name, repo, folder, license=license):
            print(f"{path}  {path.stat().st_size:,} bytes")
        print(f"Nothing was published: {folder / 'README.md'} is the card of a new repo {repo}.")
        return
    address = hub.publish(
        name,
        repo,
        private=private,
        revision=revision,
        create_pr=create_pr,
        license=license,
    )
    print(address)


def list_datasets(*, hub: bool = False, namespace: str | None = None, json: bool = False) -> None:
    """List the datasets that come with the package, and what they teach.

    Args:
        hub: List the repos on the Hugging Face Hub instead, and their variants.
        namespace: Only those of this Hub user or organization.
        json: Print them as JSON.
    """
    if not hub and namespace is not None:
        raise SettingsError("--namespace is for the Hub: give --hub too.")
    if hub:
        _list_hub(namespace, json)
        return
    listed = [*entries()]
    if json:
        print_json([_record(entry) for entry in listed])
        return
    rows = [
        (
            entry.spec.name,
            distilled_id(entry.family) or "-",
            str(entry.instances),
            *map(_score, ("sampled", "greedy"), [entry.spec] * 2),
        )
        for entry in listed
    ]
    print_table(("name", "id", "rows", "sampled", "greedy"), rows, _LEGEND)


_LEGEND = (
    "load_distilled(name) gives the dataset, gym.make(id) the distilled environment of its family. "
    "Returns are those of fresh networks in the real environment after one gradient step, means ± "
    "standard deviations between networks, with sampled and with the likeliest actions. "
    "`distilled-envs show NAME` says more of one."
)


def _score(mode: str, spec: DistillationSpec) -> str:
    scores = spec.evaluation.get("one_step")
    return "-" if scores is None else written_score(scores[mode])


def _record(entry: Entry) -> dict[str, Any]:
    """A dataset for other programs."""
    spec = entry.spec
    return {
        "name": spec.name,
        "id": distilled_id(entry.family),
        "env": spec.env.id,
        "env_kwargs": spec.env.kwargs,
        "rows": entry.instances,
        "evaluation": spec.evaluation,
    }


def _list_hub(namespace: str | None, as_json: bool) -> None:
    """Print the repos on the Hub."""
    from distilled_envs import hub

    found = hub.search(namespace)
    if as_json:
        print_json([dataclasses.asdict(each) for each in found])
        return
    if not found:
        print(f"The Hub has no distilled datasets{f' of {namespace}' if namespace else ''}.")
        return
    rows = [
        (each.repo_id, ", ".join(each.variants), each.updated, str(each.downloads))
        for each in found
    ]
    print_table(("repo", "variants", "updated", "downloads"), rows)


def show(
    choice: Choice, *, figure: Path | None = None, json: bool = False, card: bool = False
) -> None:
    """Show what a dataset is, what it teaches, how it was made, and its first rows.

    Args:
        choice: Which dataset.
        figure: A .png or .svg to draw the rows into: a heat map, or frames with their targets.
        json: Print its distillation.json instead.
        card: Print its card instead, as it is on the Hub or would be.
    """
    figure = None if figure is None else given_path(figure)
    if figure is not None and figure.suffix not in (".png", ".svg"):
        raise SettingsError(f"A figure ends in .png or .svg, got {figure}.")
    if json and card:
        raise SettingsError("--json and --card each print one thing: give one of them.")
    folder, source = choice.locate()
    observations, targets, spec, _ = read_folder(folder)
    check_rows(observations, targets, spec)
    if json:
        print(spec.to_json(), end="")
    elif card:
        print(_card(spec, source, len(targets)))
    else:
        print_facts(spec.name, facts(spec, len(targets), source))
        for row in range(min(len(targets), ROWS_SHOWN)):
            observation = f"frames {observations.shape[1:]}"
            if observations.ndim == 2:
                observation = f"[{', '.join(f'{x:.3f}' for x in observations[row])}]"
            print(f"row {row}: {observation} -> [{', '.join(f'{y:.3f}' for y in targets[row])}]")
    if figure is not None:
        from distilled_envs.dataset import DistilledDataset
        from distilled_envs.studies.figures import rows_figure

        with atomic_path(figure) as path:
            drawing = rows_figure(DistilledDataset.load(folder))
            path.write_bytes(drawn(drawing, "svg" if figure.suffix == ".svg" else "png"))
        print(f"figure: {figure}")


def _card(spec: DistillationSpec, source: Source, rows: int) -> str:
    """The card as it is on the Hub, or as it would be."""
    try:
        from distilled_envs import hub

        if source.kind == "hub":
            card = hub.read_card(source.location.rsplit("/", 1)[0], source.revision)
        else:
            card = hub.make_card(f"<user>/distilled-{spec.family}", {spec.variant: spec}, rows)
    except (MissingExtraError, HubError) as error:
        return f"(No card: {error})"
    # Anybody can write one: nothing in it may move the cursor or clear the screen.
    return "".join(c for c in card if c in "\n\t" or c.isprintable())
