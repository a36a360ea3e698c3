"""The command ``distilled-envs``, with publish, list, show and watch.

Flags come from typed functions and dataclasses (tyro). What a command needs is imported inside it,
so that ``list`` does not wait for the training code.
"""

import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import tyro

from distilled_envs import __version__
from distilled_envs.catalog import Entry, entries
from distilled_envs.cli_choice import Choice
from distilled_envs.cli_compare import compare_command, generalize_command
from distilled_envs.cli_distill import distill_command, refit_command
from distilled_envs.cli_evaluate import evaluate_command
from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import (
    DistilledEnvsError,
    HubError,
    MissingExtraError,
    SettingsError,
)
from distilled_envs.reports import markdown_table
from distilled_envs.storage import atomic_path

HELP = """\
usage: distilled-envs COMMAND ...

Reinforcement-learning environments distilled into one-batch supervised datasets.

commands:
  list                 the datasets that come with the package, or, with --hub, on the Hub
  show NAME            what a dataset says of itself, its rows, and its card
  evaluate NAME        train fresh learners, one gradient step each, and play for real
  compare NAME         set it beside Stable-Baselines3: returns, steps, seconds
  generalize NAME      try networks that it was not distilled for
  distill PRESET       make a dataset: meta-PPO from scratch; PRESET or any Gymnasium id
  refit NAME           find rows for the same behaviour that other training can use too
  publish NAME         put a dataset on the Hugging Face Hub
  watch NAME           train a learner and show it acting, in a window or as a video

`distilled-envs COMMAND --help` explains each; NAME is a name from `list`, a dataset
folder, or a Hub repo, user/name.
Try: distilled-envs evaluate cartpole_2d --instances min
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Arguments; None takes those of the process.

    Returns:
        Exit status: 0 done, 1 the user can mend it (one sentence on stderr), 2 wrong usage, 130
        interrupted.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    commands = {"distill": distill_command, "refit": refit_command, "evaluate": evaluate_command}
    commands |= {"compare": compare_command, "generalize": generalize_command}
    commands |= {"publish": _publish, "list": _list, "show": _show, "watch": _watch}
    if not argv or argv[0] in ("-h", "--help"):
        print(HELP, end="")
        return 0 if argv else 2
    if argv[0] == "--version":
        print(f"distilled-envs {__version__}")
        return 0
    if argv[0] not in commands:
        print(
            f"distilled-envs: there is no command {argv[0]!r}, only {', '.join(commands)}.",
            file=sys.stderr,
        )
        return 2
    try:
        with _messages_shown():
            commands[argv[0]](argv[1:])
    except BrokenPipeError:  # e.g. `distilled-envs list | head`
        sys.stderr.close()
        return 141
    except DistilledEnvsError as error:
        print(f"distilled-envs: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # a full disk, a folder that can't be written
        print(f"distilled-envs: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:
        print(f"\ndistilled-envs: {str(interrupt) or 'interrupted'}", file=sys.stderr)
        return 130
    return 0


@contextmanager
def _messages_shown() -> Iterator[None]:
    """This package's messages on stderr; other packages see to their own."""
    log, handler = logging.getLogger("distilled_envs"), logging.StreamHandler()
    before = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before[0])
        log.propagate = before[1]


def _publish(argv: list[str]) -> None:
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
            license: The Hub's identifier of a licence; that of the repo if not given, or mit.
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

    tyro.cli(publish, args=argv, prog="distilled-envs publish")


def _list(argv: list[str]) -> None:
    def list_(*, hub: bool = False, namespace: str | None = None) -> None:
        """List the datasets that come with the package, and what they teach.

        Mean return in the real environment ± standard deviation between networks, with sampled and
        with greedy actions. One step: 100 fresh networks, one gradient step each; 32 for games.
        Width 256: the same step for networks of two layers of 256, which the dataset was not
        distilled for. Adam: networks trained on the rows to convergence. PPO: Stable-Baselines3's
        PPO trained on the distilled environment. "-" was not measured.

        Args:
            hub: List the repos on the Hugging Face Hub instead, and their variants.
            namespace: Only those of this Hub user or organisation.
        """
        if not hub and namespace is not None:
            raise SettingsError("--namespace is for the Hub: give --hub too.")
        print(_hub_table(namespace) if hub else results_table(entries()))

    tyro.cli(list_, args=argv, prog="distilled-envs list")


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
            cells.append(" / ".join(f"{s['mean']:.1f} ± {s['std']:.1f}" for s in modes) or "-")
        rows.append(cells)
    return markdown_table(rows)


def _show(argv: list[str]) -> None:
    def show(
        choice: Choice,
        *,
        figure: Path | None = None,
    ) -> None:
        """Show what a dataset says of itself, its first rows, and its card.

        Args:
            choice: Which dataset.
            figure: A .png or .svg to draw the rows into: a heat map, or frames with their targets.
        """
        if figure is not None and figure.suffix not in (".png", ".svg"):
            raise SettingsError(f"A figure ends in .png or .svg, got {figure}.")
        dataset = choice.load()
        print(dataset.spec.to_json(), end="")
        print(f"\n{dataset!r}")
        for row in range(min(len(dataset), 5)):
            observation = f"frames {tuple(dataset.observations.shape[1:])}"
            if dataset.observations.dim() == 2:
                numbers = ", ".join(f"{x:.3f}" for x in dataset.observations[row].tolist())
                observation = f"[{numbers}]"
            target = ", ".join(f"{y:.3f}" for y in dataset.targets[row].tolist())
            print(f"row {row}: {observation} -> [{target}]")
        print(f"\n{_card(dataset)}")
        if figure is not None:
            from distilled_envs.figures import rows_figure
            from distilled_envs.reports import drawn

            with atomic_path(figure) as path:
                path.write_bytes(drawn(rows_figure(dataset), figure.suffix[1:]))
            print(f"figure: {figure}")

    tyro.cli(show, args=argv, prog="distilled-envs show")


def _card(dataset: DistilledDataset) -> str:
    """The card as it is on the Hub, or as it would be."""
    spec, source = dataset.spec, dataset.source
    try:
        from distilled_envs import hub

        if source.kind == "hub":
            card = hub.read_card(source.location.rsplit("/", 1)[0], source.revision)
        else:
            repo_id = f"<user>/distilled-{spec.family}"
            card = hub.make_card(repo_id, {spec.variant: spec}, len(dataset))
    except (MissingExtraError, HubError) as error:
        return f"(No card: {error})"
    # Anybody can write one: nothing in it may move the cursor or clear the screen.
    return "".join(c for c in card if c in "\n\t" or c.isprintable())


def _watch(argv: list[str]) -> None:
    def watch(
        choice: Choice,
        *,
        video: Path | None = None,
        episodes: int = 1,
        max_steps: int = 1000,
        seed: int = 0,
    ) -> None:
        """Train a fresh learner, one gradient step, and show it acting in the real environment.

        Args:
            choice: Which dataset.
            video: An .mp4 or .gif to write instead of opening a window.
            episodes: Episodes to play.
            max_steps: Steps after which an episode is no longer shown.
            seed: Seed of the learner and of the environment.
        """
        from distilled_envs import watch as watching

        dataset = choice.load()
        returns = watching.watch(
            dataset, video=video, episodes=episodes, max_steps=max_steps, seed=seed
        )
        for episode, total in enumerate(returns, start=1):
            print(f"episode {episode}: return {total:.1f}")
        if video is not None:
            print(f"video: {video}")

    tyro.cli(watch, args=argv, prog="distilled-envs watch")


if __name__ == "__main__":
    sys.exit(main())
