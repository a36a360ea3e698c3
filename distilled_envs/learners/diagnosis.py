"""Whether a network learns from one step, and how long that step is for it, without any play.

After the step a network is compared with the dataset's own learners, at inputs like those of play.
The loss left on the rows alone would not tell: on 2-D cart-pole networks of depth 3 leave all of
it, 0.7 to 1.3, and play for 500 steps, since twice the logits choose the same actions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from distilled_envs.errors import PolicyError
from distilled_envs.learners.actions import comparable, log_deviations
from distilled_envs.learners.layers import like_parameters, restored
from distilled_envs.learners.one_step import StepSize, inner_loss, train_one_step
from distilled_envs.learners.policies import evaluating, policy_module, read_policy
from distilled_envs.learners.reference import Reference
from distilled_envs.spec import TaskSpec

if TYPE_CHECKING:
    from distilled_envs.rows import Rows

_SAME = 0.01
"""Disagreement below which no other step is tried."""
_GAIN = 0.5
"""Another step than the dataset's own is taken if it leaves less than this share of the
disagreement: own learners, of which single draws disagree, always take the plain one."""
_ROUNDS = 3
_LEARNS = {"categorical": 0.4, "gaussian": 0.004}
"""Disagreement up to which a network learns. Of 1,613 networks of ``generalize`` on 11 cart-pole
sets it misjudges 9 of those that keep 95% of the return and 35 of those that keep less than half,
23 of these on one axis, where a small constant lets the cart drift. On MuJoCo those that keep 95%
have at most 0.003, and those that keep less than half at least 0.0055. Logits need only their
order, while torques are taken as they are."""
_LIKE_OWN, _MOST = 2.0, 0.4
"""The same where learners are of ReLU, in units of what these differ from their mean by, and at
most."""


@dataclass(frozen=True)
class Diagnosis:
    """What one step makes of a network.

    Attributes:
        learns: The verdict: whether it then plays like the dataset's own learners.
        loss_left: Loss on the rows after the step, as a share of that before.
        disagreement: Mean squared difference from the mean answers of the dataset's own learners at
            inputs like those of play, as a share of these answers' mean square. Logits are compared
            up to a constant and a positive factor, which change no likeliest action.
        step: How long the step was.
    """

    learns: bool
    loss_left: float
    disagreement: float
    step: StepSize

    def __str__(self) -> str:
        verdict = "learns from one step" if self.learns else "does not learn from one step"
        left = "more loss on the rows than before it"
        if self.loss_left <= 1:
            left = f"{self.loss_left:.2%} of the loss on the rows"
        but = "though" if self.learns and self.loss_left > 1 else "and"
        differs = f"{self.disagreement:.2%}" if self.disagreement <= 1 else "more than 100%"
        return (
            f"{verdict}: its answers differ by {differs} from those of the dataset's own learners, "
            f"{but} the step leaves {left}"
        )


def diagnose(
    policy: nn.Module | object,
    rows: "Rows",
    reference: Reference,
    parameters: list[nn.Parameter] | None,
) -> Diagnosis:
    """Try a policy's one step, and leave the policy as it was.

    Args:
        policy: What :func:`.policies.policy_module` accepts.
        rows: The dataset.
        reference: Its learners.
        parameters: What the step trains.

    Raises:
        PolicyError: It can't take the step; see :func:`.one_step.train_one_step`.
    """

    def tried(size: StepSize) -> tuple[Tensor, float]:
        """Answers at the inputs, and loss on the rows, after a step of that size."""
        with restored(policy_module(policy)):
            take_step(policy, rows, parameters, size)
            return _answers(policy, reference.inputs), _loss(policy, rows)

    task, wanted = rows.spec.task, _in_terms_of(policy, reference.answers)
    size = StepSize()
    answers, loss = tried(size)  # first, since it says what does not fit
    before = _loss(policy, rows)
    gap = disagreement(task, answers, wanted)
    if gap > _SAME and reference.inputs.dim() == 2:
        fitted = _fit_size(task, _answers(policy, reference.inputs), wanted, tried)
        if fitted is not None:
            answers, fitted_loss = tried(fitted)
            fitted_gap = disagreement(task, answers, wanted)
            if fitted_gap < _GAIN * gap:
                size, loss, gap = fitted, fitted_loss, fitted_gap
    limit = max(_LEARNS[task.kind], min(_LIKE_OWN * reference.spread, _MOST))
    return Diagnosis(gap < limit, loss / before, gap, size)


def take_step(
    policy: nn.Module | object,
    rows: "Rows",
    parameters: list[nn.Parameter] | None,
    size: StepSize,
) -> None:
    """Train a policy by one step on a dataset, in place; see :func:`.one_step.train_one_step`."""
    task = rows.spec.task
    log_std = log_deviations(task)
    rate = rows.spec.inner.learning_rate
    train_one_step(policy, rows.observations, rows.targets, rate, log_std, parameters, size)


def disagreement(task: TaskSpec, answers: Tensor, wanted: Tensor) -> float:
    """Mean squared difference of answers ``(n, n_outputs)``, as a share of the wanted mean square.

    >>> task = TaskSpec("categorical", (1,), 2)
    >>> disagreement(task, torch.tensor([[5.0, 3.0]]), torch.tensor([[1.0, -1.0]]))
    0.0
    """
    if task.kind == "categorical":
        answers, wanted = comparable(task, answers), comparable(task, wanted)
        factor = (answers * wanted).sum() / answers.square().sum().clamp(min=1e-30)
        answers = factor.clamp(min=0) * answers
    return float((answers - wanted).square().mean() / wanted.square().mean().clamp(min=1e-30))


def _fit_size(
    task: TaskSpec,
    start: Tensor,
    wanted: Tensor,
    tried: Callable[[StepSize], tuple[Tensor, float]],
) -> StepSize | None:
    """The step whose answers come nearest to the wanted ones, by least squares on both its parts.

    Args:
        task: Its logits are compared up to a constant.
        start: The policy's answers before the step ``(n, n_outputs)``.
        wanted: The learners' answers ``(n, n_outputs)``.
        tried: Answers after a step.

    Returns:
        The size; None if there is none, as for a network that can't follow at all.
    """
    size = StepSize()
    # Answers follow the size in a straight line if hidden layers stay, as behind an output layer of
    # 0; a second round serves those that move.
    for _ in range(_ROUNDS):
        parts = []
        for each in (StepSize(size.weights, 0.0), StepSize(0.0, size.output_bias)):
            try:
                parts.append(comparable(task, tried(each)[0] - start).flatten().double())
            except PolicyError:  # not finite
                return None
        change = comparable(task, wanted - start).flatten().double()
        factors = torch.linalg.lstsq(torch.stack(parts, 1), change.unsqueeze(1)).solution.flatten()
        if not factors.isfinite().all() or factors[0] <= 0:
            return None
        size = StepSize(size.weights * float(factors[0]), size.output_bias * float(factors[1]))
        if (factors - 1).abs().max() < 1e-2:
            break
    return size


@torch.no_grad()
def _answers(policy: nn.Module | object, observations: Tensor) -> Tensor:
    """What a step regresses ``(n, n_outputs)``, as in play: no dropout, fixed batch statistics."""
    kind = read_policy(policy)
    with evaluating(kind.module):
        return kind.regressed(like_parameters(kind.module, observations)).cpu().float()


def _in_terms_of(policy: nn.Module | object, targets: Tensor) -> Tensor:
    """What its answers are compared with: targets, in the units that a step regresses them in."""
    return read_policy(policy).regression_targets(targets)


def _loss(policy: nn.Module | object, rows: "Rows") -> float:
    answers = _answers(policy, rows.observations)
    return float(inner_loss(answers, _in_terms_of(policy, rows.targets)))
