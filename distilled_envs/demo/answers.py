"""What the page answers: a diagnosis, and step by step what a way to a policy comes to.

Every error becomes a sentence here, so that the page goes on.
"""

import functools
import html
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from distilled_envs.dataset import DistilledDataset
from distilled_envs.demo import ways
from distilled_envs.demo.choices import Network
from distilled_envs.demo.datasets import chosen
from distilled_envs.demo.drawings import strip
from distilled_envs.demo.film import Film, films
from distilled_envs.demo.networks import draw
from distilled_envs.demo.words import as_html
from distilled_envs.errors import DistilledEnvsError
from distilled_envs.formatting import in_a_line, written

logger = logging.getLogger(__name__)

_DOING = {
    "one step": ("One gradient step", "after one gradient step"),
    "initialize, one step": ("Drawing the layers anew and one gradient step", "after both"),
    "fit": ("Fitting", "after fitting"),
}
_TOGGLE = "this.paused ? this.play() : this.pause()"
_PAUSED = f'onclick="{_TOGGLE}" onkeydown="if (event.key === \'Enter\') {{{_TOGGLE}}}"'
"""A player's own buttons would hide half of a film on a phone."""
_computing = threading.Lock()
"""One visitor's numbers at a time: torch's and NumPy's generators are everybody's."""


@dataclass(frozen=True)
class Answer:
    """Three places of the page, as HTML; empty ones wait for what is still computed."""

    said: str = ""
    films: str = ""
    returns: str = ""


def sentence(error: Exception) -> str:
    """An error as HTML: one that is meant for users as it is, any other in a line."""
    if isinstance(error, DistilledEnvsError):
        said = str(error)
    else:
        logger.error("The page met an error that it does not know.", exc_info=error)
        said = f"Something went wrong that nobody has foreseen: {in_a_line(error)}"
    return f'<p class="de-warning" role="alert">{as_html(said)}</p>'


def diagnosis(name: str | None, network: Network) -> str:
    """Whether a network learns from one step of a dataset, as HTML."""
    try:
        entry = chosen(name)
        network.check(entry.spec)
        with _computing:
            dataset = load(entry.folder)
            found = dataset.diagnose(draw(dataset, network, 0))
    except Exception as error:
        return sentence(error)
    said = as_html(f"This network {found}.")
    hint = "" if found.learns else " Initialize it first, or fit it."
    return f'<p class="{"de-good" if found.learns else "de-warning"}">{said}{hint}</p>'


def play(name: str | None, network: Network, way: str) -> Iterator[Answer]:
    """Train ten networks, let them play, and film the first of them before and after.

    Args:
        name: Of the dataset.
        network: What they are.
        way: A key of :data:`.ways.WAYS`.

    Yields:
        What is known so far.
    """
    answer = Answer()
    try:
        entry = chosen(name)
        with _computing:
            dataset = load(entry.folder)
        networks: ways.Trained | None = None
        for trained, said in _training(dataset, network, way):
            networks, answer = trained, Answer(said)
            yield answer
        assert networks is not None
        with _computing:
            before = ways.returns(dataset, networks.before)
            after = ways.returns(dataset, networks.after)
            chance = ways.random_return(dataset)
        drawn = _returns(dataset, before, after, chance)
        answer = Answer(answer.said + _played(dataset, before, after), "", drawn)
        yield answer
        with _computing:
            shown = films(dataset, [networks.before[0], networks.after[0]])
        yield replace(answer, films=_films(shown, _DOING[way][1]))
    except Exception as error:
        yield replace(answer, said=answer.said + sentence(error), films="")


@functools.lru_cache(maxsize=8)
def load(folder: Path) -> DistilledDataset:
    """A dataset, shared by all visitors, who change nothing of it."""
    return DistilledDataset.load(folder)


def _training(
    dataset: DistilledDataset, network: Network, way: str
) -> Iterator[tuple[ways.Trained, str]]:
    """Ten networks while they are trained, and what there is to say of it."""
    training = ways.train(dataset, network, way)
    while True:
        with _computing:
            trained = next(training, None)
        if trained is None:
            return
        done = len(trained.after)
        if done < ways.NETWORKS:
            if way == "fit":  # the others take no time
                yield trained, f"<p>{done} of {ways.NETWORKS} networks are fitted.</p>"
            continue
        with _computing:
            losses = [ways.loss(dataset, each[0]) for each in (trained.before, trained.after)]
        ms = 1000 * trained.seconds
        took = f"{ms:.0f} ms" if ms < 1000 else f"{trained.seconds:.1f} s"
        layers = ", ".join(map(str, network.sizes)) or "no hidden layer"
        yield (
            trained,
            f"<p>{html.escape(dataset.spec.name)}; {layers}; {network.activation}; "
            f"{network.initialization}</p><p><b>{_DOING[way][0]} took {took}.</b> The first "
            f"network's loss on the rows goes from {losses[0]:.3g} to {losses[1]:.3g}.</p>",
        )


def _played(dataset: DistilledDataset, before: np.ndarray, after: np.ndarray) -> str:
    cut = ""
    if dataset.spec.has_frames:
        cut = f", cut after {ways.STEPS_OF_A_GAME:,} steps"
    return (
        f"<p>In the real environment ten networks got {written(before.mean())} on average before, "
        f"and <b>{written(after.mean())} after</b> (an episode each{cut}).</p>"
    )


def _returns(
    dataset: DistilledDataset, before: np.ndarray, after: np.ndarray, chance: float
) -> str:
    """A drawing of returns, and the same as a table."""
    marks = {"random play": chance}
    if (threshold := dataset.spec.env.reward_threshold) is not None:
        marks["solved from"] = threshold
    rows = "".join(
        f"<tr><th scope='row'>{place}</th><td>{written(a)}</td><td>{written(b)}</td></tr>"
        for place, (a, b) in enumerate(zip(before, after, strict=True), start=1)
    )
    return (
        f"<h4>Returns of ten networks</h4>{strip(before, after, marks)}"
        '<details class="de-table"><summary>The same as a table</summary>'
        "<table><thead><tr><th scope='col'>network"
        "</th><th scope='col'>before</th><th scope='col'>after</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></details>"
    )


def _films(shown: list[Film], after: str) -> str:
    """Two films beside each other, or below where there is no room."""
    return f'<div class="de-films">{"".join(map(_film, shown, ("before", after)))}</div>'


def _film(film: Film, when: str) -> str:
    state = "the episode is over" if film.over else "and the episode goes on"
    label = html.escape(f"The first network {when}: click or press Enter to pause")
    return (
        f'<figure><video autoplay loop muted playsinline tabindex="0" aria-label="{label}" '
        f'title="{label}" {_PAUSED} '
        f'src="data:video/mp4;base64,{film.base64}"></video><figcaption><b>{when}</b>: return '
        f"{written(film.total)} after {film.steps} steps, {state}</figcaption></figure>"
    )
