"""Rows for teachers that no linear policy follows: for wide learners, or behind an encoder.

One step on networks like Stable-Baselines3's is linear in their observations. Two kinds of learners
answer by more:

- Wide networks with one hidden layer of ReLU, whose kernel has even functions, too (Cho & Saul,
  "Kernel Methods for Deep Learning", 2009). Draws differ by what a finite width misses of that
  kernel, so that thousands of units are needed, and rows that are learned for it.
- A fresh last layer behind an encoder, hidden layers that are learned and shipped with the rows, as
  Wilhelm & Ventura (arXiv 2508.09283) have them for games. Its step is exact: it answers a weighted
  sum of inner products of features (see :mod:`.closed_form`).

The learners play, the teacher answers where they came, and all is learned on from there (DAgger:
Ross et al., "A Reduction of Imitation Learning and Structured Prediction to No-Regret Online
Learning", 2011). The round whose learners got the highest return stays.
"""

import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional

from distilled_envs.bars import tqdm
from distilled_envs.errors import DivergedError
from distilled_envs.formatting import written
from distilled_envs.learners.actions import comparable
from distilled_envs.learners.encoder import make_encoder, rounded_state
from distilled_envs.learners.networks import ACTIVATIONS, has_weights
from distilled_envs.learners.population import Population
from distilled_envs.spec import LearnerSpec, TaskSpec
from distilled_envs.training.batch import DistilledBatch
from distilled_envs.training.efforts import BELOW, FRAMES, KNOWN, LEARNERS, VECTORS, Effort
from distilled_envs.training.imitation import Teacher
from distilled_envs.training.world import World

logger = logging.getLogger(__name__)

SOME = 512
"""States that tell what an encoder, or a teacher, does."""
CANDIDATES = 1_536
"""States of which rows are chosen."""
RIDGES = 1e-4, 1e-3, 1e-2
"""Of their weights, as shares of the mean square of what they span. Where hidden layers are fresh,
too, large weights teach what a few draws have in common by chance."""
_AT_BOUND = 0.02
"""Distance from a bound, in half widths of the Box, within which an answer counts as the bound."""
_BEYOND = 3.0
"""Deviations by which values of a coordinate are moved to see whether a teacher looks at it."""
_LOOKED_AT = 1e-6
"""Change of answers, as a share of their mean square, below which a teacher does not look."""


@dataclass(frozen=True)
class PlayedRows:
    """What :func:`learn_from_play` found.

    Attributes:
        observations: ``(k, *shape)``, as networks see them.
        targets: ``(k, n_outputs)``.
        learning_rate: Of the one step.
        encoder: State of the hidden layers that come with them, rounded to half precision, as the
            file keeps it; None where none do.
    """

    observations: Tensor
    targets: Tensor
    learning_rate: float
    encoder: dict[str, Tensor] | None


def learn_from_play(
    teacher: Teacher,
    network: nn.Sequential | None,
    world: World,
    seen: Tensor,
    answers: Tensor,
    transform: Callable[[Tensor], Tensor],
    space: spaces.Box,
    learner: LearnerSpec,
    instances: int,
    rounds: int,
    play: Callable[[list[PlayedRows]], tuple[int, Tensor, float]],
    *,
    progress: bool,
) -> PlayedRows:
    """Rows, and perhaps an encoder, from which one step teaches what a teacher does.

    Args:
        teacher: Its answers ``(n, n_outputs)`` to observations of the environment.
        network: The CNN that it is, or its first layers: the encoder starts with those of its
            layers that have the same shape. None draws them.
        world: Where it acts.
        seen: What it met ``(n, n_all_inputs)``.
        answers: What it answered there.
        transform: From that to what networks see ``(n, n_inputs)``.
        space: Of the latter.
        learner: The network; its encoder level says which of its layers are an encoder's.
        instances: Rows k.
        rounds: In which learners play and the teacher answers, after the first.
        play: Lets fresh learners of several play, and tells of those that got most: whose they
            are, by place, what they met ``(n, n_all_inputs)``, and their mean return.
        progress: Whether to show a bar.

    Raises:
        DivergedError: The numbers are no longer finite.
    """
    task = dataclasses.replace(world.task, observation_shape=space.shape)
    shown = transform(seen)
    encoder = make_encoder(learner, shown[torch.randperm(len(shown))[:SOME]], network)
    first = shown[torch.randint(len(shown), (instances,))].float()
    features = encoder(first).detach()
    if world.shows_frames and not encoder:
        features = features / 255  # as learners see them
    # The rate at which learners answer the targets at the rows, if rows had nothing in common.
    kernel = float(features.square().flatten(1).sum(1).mean()) + 1
    rate = instances * task.n_outputs / (2 * kernel)
    batch = DistilledBatch(space, instances, task.n_outputs, rate, observations=first)
    shapes, theirs = _shapes(encoder), [] if network is None else _shapes(network)
    knows = world.shows_frames and theirs[: len(shapes)] == shapes
    if knows:
        start_spanning(batch, encoder, learner, shown, answers, task)
    effort = VECTORS if not world.shows_frames else FRAMES
    if knows:
        effort = KNOWN if learner.encoder_level == 4 else BELOW
    # Only of sampled choices does the size of targets say how much is left to chance.
    factors = (1.0,) if world.is_played_greedily else effort.sharper
    best, highest, newest_from = None, -torch.inf, 0
    bar = tqdm(
        total=(rounds + 1) * effort.steps,
        desc=f"{world.spec.id}: imitate",
        dynamic_ncols=True,
        disable=not progress,
    )
    with bar:
        for number in range(rounds + 1):
            # 1. Rows and encoder learn to teach the teacher's answers, wherever anybody came.
            _learn(encoder, batch, learner, task, shown, answers, newest_from, world, effort, bar)
            found = _rounded(encoder, batch)
            # 2. Fresh learners play with what was learned, and the best round stays.
            sharpened = [
                dataclasses.replace(found, targets=factor * found.targets) for factor in factors
            ]
            place, visited, got = play(sharpened)
            said = "round %d: learners get %.1f with targets times %g"
            logger.info(said, number, got, factors[place])
            bar.set_postfix_str(f"return {written(got)}", refresh=False)
            if best is None or got > highest:
                best, highest = sharpened[place], got
            # 3. The teacher answers where they came.
            if number < rounds:
                newest_from = len(shown)
                shown = torch.cat([shown, transform(visited)])
                answers = torch.cat([answers, *map(teacher, visited.split(SOME))])
    assert best is not None
    return best


def _shapes(network: nn.Sequential) -> list[torch.Size]:
    """Of its layers' weights."""
    return [layer.weight.shape for layer in network if has_weights(layer)]


@torch.no_grad()
def start_spanning(
    batch: DistilledBatch,
    encoder: nn.Sequential,
    learner: LearnerSpec,
    shown: Tensor,
    answers: Tensor,
    task: TaskSpec,
) -> None:
    """Let rows start as the states that span a teacher's answers best, targets by least squares.

    After its step a fresh last layer answers a sum of targets, weighted by how much a state's
    features have in common with each row's. States are taken one by one, each the one that explains
    most of what is left (orthogonal matching pursuit: Pati et al., 1993).

    Args:
        batch: Rows and targets, changed in place.
        encoder: Of the teacher's own layers.
        learner: The network that they are the first layers of.
        shown: Some thousand states ``(n, *shape)``.
        answers: The teacher's there ``(n, n_outputs)``.
        task: How outputs become actions.
    """
    some = torch.randperm(len(shown))[:CANDIDATES]
    encoded = torch.cat([encoder(part) for part in shown[some].split(SOME)])
    features = _before_the_last(encoded, learner, task)
    kernel = features @ features.T + 1  # the bias has an input of 1
    wanted = comparable(task, answers[some]).double()
    # 1. Choose: columns of the kernel, without what the chosen ones span already.
    columns, left, chosen = kernel.clone(), wanted.clone(), []
    smallest = 1e-6 * kernel.square().sum(0)
    for _ in range(len(batch.targets)):
        size = columns.square().sum(0)
        explained = (columns.T @ left).square().sum(1) / size.clamp(min=smallest)
        explained[size < smallest] = -1.0
        chosen.append(int(explained.argmax()))
        direction = columns[:, chosen[-1]] / columns[:, chosen[-1]].norm()
        columns -= torch.outer(direction, direction @ columns)
        left -= torch.outer(direction, direction @ left)
    # 2. Weigh: ridge regression, with the ridge that serves other draws of hidden layers best.
    spanned, best, least = kernel[:, chosen], torch.zeros(0), torch.inf
    others = _before_the_last(encoded, learner, task)
    others = others @ others[chosen].T + 1
    for share in RIDGES:
        ridge = share * spanned.square().sum() / len(chosen) * torch.eye(len(chosen)).double()
        weights = torch.linalg.solve(spanned.T @ spanned + ridge, spanned.T @ wanted)
        missed = float((others @ weights - wanted).square().mean())
        if missed < least:
            best, least = weights, missed
    each = 2 * batch.learning_rate.double() / batch.targets.numel()
    batch.targets.copy_(best / each)
    batch.start_at(shown[some[chosen]].float())


def _before_the_last(encoded: Tensor, learner: LearnerSpec, task: TaskSpec) -> Tensor:
    """What the last layers of some fresh learners see.

    Args:
        encoded: An encoder's features ``(n, *shape)``.
        learner: What stands behind it.
        task: How outputs become actions.

    Returns:
        Features ``(n, units)`` of all of them, whose inner products are the mean over learners.
    """
    drawn = Population.draw(learner, task, LEARNERS)
    hidden = dict(list(drawn.parameters.items())[:-2])
    if not hidden:
        return encoded.double()
    activation = ACTIVATIONS[learner.activation][1]
    seen = [activation(Population(learner, hidden)(part)) for part in encoded.split(SOME)]
    return torch.cat(seen, 1).transpose(0, 1).flatten(1).double() / LEARNERS**0.5


def looked_at(teacher: Teacher, seen: Tensor, answers: Tensor) -> Tensor:
    """The coordinates of observations ``(n, n_inputs)`` that a teacher's answers to them depend on.

    Each in turn takes the values that it has elsewhere, as in permutation importance (Breiman,
    "Random Forests", 2001), and far more, since learners leave the teacher's course.
    """
    some, found = torch.randperm(len(seen))[:SOME], []
    seen, answers = seen[some], answers[some]
    for place in range(seen.shape[1]):
        mixed = seen.clone()
        values = mixed[:, place]
        spread = torch.where(values.std() > 0, values.std(), 1.0)
        mixed[:, place] = values.roll(1) + _BEYOND * spread * torch.randn(len(values))
        change = (teacher(mixed) - answers).square().mean()
        if change > _LOOKED_AT * answers.square().mean():
            found.append(place)
    return torch.tensor(found or range(seen.shape[1]))


def _learn(
    encoder: nn.Sequential,
    batch: DistilledBatch,
    learner: LearnerSpec,
    task: TaskSpec,
    shown: Tensor,
    answers: Tensor,
    newest_from: int,
    world: World,
    effort: Effort,
    bar: tqdm,
) -> None:
    """One round of Adam on rows and encoder, in place; states of the last play come at the end."""
    targets_rate = effort.targets_rate * float(batch.targets.detach().std())
    groups = [
        (effort.encoder_rate, [*encoder.parameters()]),
        (effort.rows_rate, [batch.rows, batch.log_learning_rate]),
        (targets_rate, [batch.targets]),
    ]
    optimizer = torch.optim.Adam([{"params": group, "lr": rate} for rate, group in groups])

    def rate(step: int) -> float:
        return min(1.0, (step + 1) / (effort.warm + 1)) * (1 - 0.99 * step / effort.steps)

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    size = answers.square().mean().clamp(min=1e-8)  # a teacher may never act
    newest = round(effort.newest * effort.states)
    for step in range(effort.steps):
        of_all = torch.randint(len(shown), (effort.states - newest,))
        of_newest = torch.randint(newest_from, len(shown), (newest,))
        chosen = torch.cat([of_all, of_newest])
        # 1. Fresh learners take their gradient step on the rows, or on the encoder's features.
        if step % effort.drawn_every == 0:
            fresh = Population.draw(learner, task, effort.learners)
        features = encoder(batch.observations)
        learners = fresh.step(features, batch.targets, batch.learning_rate, keep_graph=True)
        # 2. Their error in states, against the teacher.
        outputs = learners(encoder(shown[chosen]))
        if world.shows_frames:
            loss = _divergence(outputs, answers[chosen], task)
        else:
            loss = _missed(outputs, answers[chosen], world).square().mean() / size
        optimizer.zero_grad()
        loss.backward()
        for _, group in groups:
            nn.utils.clip_grad_norm_(group, 1.0)
        # 3. Adam moves encoder, rows, targets and inner learning rate.
        optimizer.step()
        schedule.step()
        batch.project()
        bar.update()
    fault = batch.fault()
    if not all(each.isfinite().all() for each in encoder.parameters()):
        fault = "the encoder is not finite"
    if fault:
        raise DivergedError(
            f"Imitation diverged: {fault}. Check that the teacher's answers are finite "
            "and of the size of the environment's actions, or try another seed."
        )


def _divergence(outputs: Tensor, answers: Tensor, task: TaskSpec) -> Tensor:
    """Mean KL divergence from a teacher's policy to learners', whose sampled actions count."""
    if task.kind == "gaussian":
        return (outputs - answers).square().mean()  # up to a factor, of equal deviations
    # torch's own is infinite where a probability is rounded to 0.
    parts = zip(outputs.split(task.parts, -1), answers.split(task.parts, -1), strict=True)
    each = [
        functional.kl_div(
            ours.log_softmax(-1),
            theirs.log_softmax(-1).expand_as(ours),
            reduction="none",
            log_target=True,
        ).sum(-1)
        for ours, theirs in parts
    ]
    return torch.stack(each).sum(0).mean()


def _missed(outputs: Tensor, answers: Tensor, world: World) -> Tensor:
    """By how much outputs ``(..., n_outputs)`` miss answers, as far as it counts.

    Logits count up to a constant. What lies beyond a bound is clipped, and is not missed where the
    answer is the bound: many teachers are there most of the time.
    """
    if world.task.kind == "categorical":
        return comparable(world.task, outputs) - comparable(world.task, answers)
    low, high = world.bounds
    answers, slack = answers.clamp(low, high), _AT_BOUND * (high - low) / 2
    above = (answers > high - slack) & (outputs > high)
    below = (answers < low + slack) & (outputs < low)
    return torch.where(above | below, torch.zeros_like(outputs), outputs - answers)


@torch.no_grad()
def _rounded(encoder: nn.Sequential, batch: DistilledBatch) -> PlayedRows:
    """What was learned so far, with the encoder as the file keeps it."""
    rows, targets = batch.observations.clone(), batch.targets.clone()
    kept = rounded_state(encoder) or None
    return PlayedRows(rows, targets, batch.learning_rate.item(), kept)
