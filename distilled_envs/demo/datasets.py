"""Which dataset a visitor means, and what the page says of it before anything is drawn."""

from distilled_envs.catalog import Entry, entries, find
from distilled_envs.demo.words import as_html
from distilled_envs.envs.real import make_env
from distilled_envs.errors import DatasetError, DistilledEnvsError
from distilled_envs.formatting import written_score
from distilled_envs.spec import DistillationSpec

DEFAULT = "cartpole-nd-2d-min"


def names() -> list[str]:
    """All datasets of the package, those first that need no further simulator."""
    listed = [entry.spec.name for entry in entries()]
    return sorted(listed, key=lambda name: not name.startswith("cartpole"))


def chosen(name: str | None) -> Entry:
    """The dataset of a name from the list, or as somebody typed it.

    Raises:
        DatasetError: There is none.
    """
    if not name or not name.strip():
        raise DatasetError(f"No dataset is chosen: take one from the list, such as {DEFAULT}.")
    try:
        return find(name[:100])
    except DatasetError:  # which tells of folders and of the Hub, whose data nobody may load here
        raise DatasetError(
            f"There is no dataset {name[:100]!r} here: take one from the list, such as {DEFAULT}."
        ) from None


def about(entry: Entry) -> str:
    """What a dataset is, and what keeps it from being played here, as HTML."""
    spec = entry.spec
    outputs = "logits" if spec.task.kind == "categorical" else "means of actions"
    numbers = " x ".join(map(str, spec.task.observation_shape))
    axes = f" of {entry.dims} ax{'e' if entry.dims > 1 else 'i'}s" if entry.dims else ""
    said = (
        f"{spec.env.id}{axes}: {entry.instances} rows, each an observation of {numbers} numbers "
        f"and a target of {spec.task.n_outputs} {outputs}."
    )
    if spec.learner.encoder_level:
        said += " The first layers come with it; yours stand behind them."
    if "one_step" in spec.evaluation:
        score = spec.evaluation["one_step"]
        got = written_score(score[spec.shown_by])
        said += f" {score['learners']} networks got {got} after their one step."
    lacking = missing(spec)
    warning = f'<p class="de-warning">{as_html(lacking)}</p>' if lacking else ""
    return f"<p>{as_html(said)}</p>{warning}"


def missing(spec: DistillationSpec) -> str:
    """What keeps an environment from being played here, as a sentence; empty if nothing does."""
    try:
        make_env(spec).close()
    except DistilledEnvsError as error:
        return f"Its rows can be seen and trained on, but not played for: {error}"
    return ""
