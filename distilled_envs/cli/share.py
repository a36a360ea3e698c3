"""The commands ``publish``, ``list`` and ``show``: datasets as they are shared.

``list`` and ``show`` read files and print; only a figure needs torch.
"""

from collections.abc import Iterable
from pathlib import Path

import tyro

from distilled_envs.catalog import Entry, entries
from distilled_envs.cli.choice import Choice
from distilled_envs.errors import HubError, MissingExtraError, SettingsError
from distilled_envs.formatting import written_score
from distilled_envs.spec import DistillationSpec
from distilled_envs.storage.checks import check_rows
from distilled_envs.storage.files import atomic_path, given_path
from distilled_envs.storage.folder import read_folder
from distilled_envs.storage.source import Source
from distilled_envs.studies.reports import drawn, markdown_table

ROWS_SHOWN = 5


def publish(
    name: tyro.conf.Positional[str],
    *,
    repo: str,
    private: bool = False,
    revision: str | None = None,
    create_pr: bool = False,
    license: str | None = None,
) -> None:
    """Put a dataset on the Hugging Face Hub, as a variant of a repo.

    Args:
        name: Folder of a run or of a dataset, or a name from `distilled-envs list`.
        repo: Repo id, user/name; by custom user/distilled-FAMILY. It is made if need be.
        private: Make it private.
        revision: Branch to commit to; main if not given.
        create_pr: Open a pull request instead.
        license: The Hub's identifier of a license; that of the repo if not given, or mit.
    """
    from distilled_envs import hub

    address = hub.publish(
        name,
        repo,
        private=private,
        revision=revision,
        create_pr=create_pr,
        license=license,
    )
    print(address)


def list_datasets(*, hub: bool = False, namespace: str | None = None) -> None:
    """List the datasets that come with the package, and what they teach.

    Mean return in the real environment ± standard deviation between networks, with sampled and
    with greedy actions. One step: 100 fresh networks, one gradient step each; 32 for games.
    Width 256: the same step for networks of two layers of 256, which the dataset was not
    distilled for. Adam: networks trained on the rows to convergence. PPO: Stable-Baselines3's
    PPO trained on the distilled environment. "-" was not measured.

    Args:
        hub: List the repos on the Hugging Face Hub instead, and their variants.
        namespace: Only those of this Hub user or organization.
    """
    if not hub and namespace is not None:
        raise SettingsError("--namespace is for the Hub: give --hub too.")
    print(_hub_table(namespace) if hub else results_table(entries()))


def _hub_table(namespace: str | None) -> str:
    """Repos on the Hub as a Markdown table."""
    from distilled_envs import hub

    found = hub.search(namespace)
    if not found:
        return f"The Hub has no distilled datasets{f' of {namespace}' if namespace else ''}."
    rows = [["repo", "variants", "updated", "downloads"]]
    for each in found:
        variants = ", ".join(f"`{variant}`" for variant in each.variants)
        rows.append([f"`{each.repo_id}`", variants, each.updated, str(each.downloads)])
    return markdown_table(rows)


def results_table(listed: Iterable[Entry]) -> str:
    """Datasets and their measured returns as a Markdown table."""
    trainings = {
        "one_step": "one step",
        "one_step_256x256": "width 256",
        "adam_to_convergence": "Adam",
        "sb3_ppo_on_bandit": "PPO",
    }
    listed = [*listed]
    tried = set().union(*(entry.spec.evaluation for entry in listed))
    trainings = {key: name for key, name in trainings.items() if key in tried}
    rows = [["dataset", "rows", *trainings.values()]]
    for entry in listed:
        cells = [f"`{entry.spec.name}`", str(entry.instances)]
        for training in trainings:
            scores = entry.spec.evaluation.get(training)
            modes = [] if scores is None else [scores["sampled"], scores["greedy"]]
            cells.append(" / ".join(map(written_score, modes)) or "-")
        rows.append(cells)
    return markdown_table(rows)


def show(choice: Choice, *, figure: Path | None = None) -> None:
    """Show what a dataset says of itself, its first rows, and its card.

    Args:
        choice: Which dataset.
        figure: A .png or .svg to draw the rows into: a heat map, or frames with their targets.
    """
    figure = None if figure is None else given_path(figure)
    if figure is not None and figure.suffix not in (".png", ".svg"):
        raise SettingsError(f"A figure ends in .png or .svg, got {figure}.")
    folder, source = choice.locate()
    observations, targets, spec, _ = read_folder(folder)
    check_rows(observations, targets, spec)
    print(spec.to_json(), end="")
    shapes = f"observation {observations.shape[1:]} -> target {targets.shape[1:]}"
    print(f"\n{spec.name}: {len(targets)} rows, {shapes}, {source}")
    for row in range(min(len(targets), ROWS_SHOWN)):
        observation = f"frames {observations.shape[1:]}"
        if observations.ndim == 2:
            observation = f"[{', '.join(f'{x:.3f}' for x in observations[row])}]"
        print(f"row {row}: {observation} -> [{', '.join(f'{y:.3f}' for y in targets[row])}]")
    print(f"\n{_card(spec, source, len(targets))}")
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
