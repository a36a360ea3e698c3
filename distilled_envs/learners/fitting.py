"""Ordinary supervised training on expanded rows, for any network."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from distilled_envs.bars import tqdm
from distilled_envs.errors import FitWarning, PolicyError, SettingsError
from distilled_envs.learners.actions import comparable
from distilled_envs.learners.layers import like_parameters
from distilled_envs.learners.one_step import trainable
from distilled_envs.learners.policies import (
    check_gradient,
    finish_training,
    policy_module,
    policy_outputs,
    read_policy,
)
from distilled_envs.learners.threads import threads_for, torch_threads
from distilled_envs.seeds import checked_seed
from distilled_envs.spec import TaskSpec

LEFT = {"categorical": 2e-3, "gaussian": 2e-4}
"""Loss, as a share of the targets' mean square, at which training ends. On Walker2d networks get
3,262 at 1e-3, and 4,117 at 3.6e-4. Logits need only their order: on cart-poles of 1, 2, 5 and 10
axes all get 500 at 4e-3 already."""

RATES = (1e-2, 5e-4)
"""Adam's learning rate, for numbers and for frames. On 2-D cart-pole a network of two tanh layers,
one with LayerNorm and an LSTM take 340, 340 and 409 batches at 1e-2, and at 3e-3 do not end within
1,500; nothing of up to eight layers or 512 units was worse off, nor was attention."""

_FAR = 0.05
"""Loss left above which a fit is warned about. LayerNorm on cart-pole's observations leaves 45%,
and gets 80 of 500; a deep CNN on Pong's frames leaves 1.4%, and plays as well as the rows."""
_MEMORY = 0.95  # of the running mean of the loss over batches


def fit(
    policy: nn.Module | object,
    task: TaskSpec,
    observations: Tensor,
    targets: Tensor,
    target_log_std: Tensor | None,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    progress: bool,
) -> float:
    """Train a policy on pairs with Adam, in place.

    The loss is the mean squared error as a share of the targets' own mean square; of logits up to a
    constant, which changes no probability, and of squashed actions from targets within the Box.
    The learning rate falls linearly to 0.

    Args:
        policy: What :func:`.policies.policy_module` accepts, on any device, of any floating type.
        task: Whether outputs are logits.
        observations: ``(n, *obs_shape)``; frames may be uint8.
        targets: ``(n, n_outputs)``.
        target_log_std: Log standard deviations ``(n_outputs,)`` of a gaussian task, which a policy
            with deviations of its own is given.
        steps: Batches at most; it ends earlier when the task's share of :data:`LEFT` is left.
        batch_size: Pairs in each.
        learning_rate: Adam's.
        seed: Seed of the batches.
        progress: Whether to show a bar.

    Returns:
        The share of the loss that is left.

    Raises:
        SettingsError: Numbers below 1, or a learning rate that is not above 0.
        PolicyError: The policy does not fit the pairs, it has nothing to train, or its loss is not
            finite; it is then as it was.
    """
    if min(steps, batch_size) < 1 or not 0 < learning_rate < math.inf:
        raise SettingsError(
            "steps and batch_size must be at least 1 and learning_rate above 0, "
            f"got {steps}, {batch_size} and {learning_rate}."
        )
    module, parameters = policy_module(policy), trainable(policy, None)
    before = {name: value.detach().clone() for name, value in module.state_dict().items()}
    threads = threads_for(tuple(observations.shape[1:]))
    bar = tqdm(total=steps, unit=" batches", leave=False, dynamic_ncols=True, disable=not progress)
    try:
        with bar, torch_threads(threads), _training_in_full_precision(module):
            optimizer = torch.optim.Adam(parameters, learning_rate)
            schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 1e-3, steps)
            generator = torch.Generator().manual_seed(checked_seed(seed))
            targets = read_policy(policy).reachable(targets)
            unit, left = comparable(task, targets).square().mean().item() or 1.0, 1.0
            for _ in range(steps):
                batch = torch.randint(len(targets), (batch_size,), generator=generator)
                seen = like_parameters(module, observations[batch])
                outputs = policy_outputs(policy, seen)
                check_gradient(policy, outputs)
                _check(policy, outputs, (batch_size, task.n_outputs))
                wanted = targets[batch].to(outputs)
                loss = comparable(task, outputs - wanted).square().mean() / unit
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                left = _MEMORY * left + (1 - _MEMORY) * loss.item()
                if not math.isfinite(left):
                    raise PolicyError(
                        f"The loss of {type(policy).__name__} is not finite, so it was left as it "
                        "was: give fit a smaller learning_rate, or check its parameters."
                    )
                bar.update()
                bar.set_postfix_str(f"{left:.2%} left", refresh=False)
                if left < LEFT[task.kind]:
                    break
    except PolicyError:
        module.load_state_dict(before)
        raise
    finish_training(policy, target_log_std)
    if left > _FAR:
        warnings.warn(
            f"{left:.0%} of the loss of {type(policy).__name__} is left after {steps} batches: it "
            "will not play as the dataset's learners do. Give fit more steps, or a network that "
            "can tell all observations apart; one that starts with LayerNorm does not see their "
            "size.",
            FitWarning,
            stacklevel=3,
        )
    return left


def _check(policy: nn.Module | object, outputs: Tensor, shape: tuple[int, int]) -> None:
    if outputs.shape != shape:
        raise PolicyError(
            f"{type(policy).__name__} gives outputs of shape {tuple(outputs.shape)} for {shape[0]} "
            f"observations, and the task needs {shape}."
        )


@contextmanager
def _training_in_full_precision(module: nn.Module) -> Iterator[None]:
    """Training mode, and half precision as float32: Adam's second moments are lost in 16 bits."""
    modes = {each: each.training for each in module.modules()}
    dtype = next(module.parameters()).dtype
    short = torch.finfo(dtype).bits < 32
    module.train()
    if short:
        module.float()
    try:
        yield
    finally:
        if short:
            module.to(dtype)
        for each, mode in modes.items():
            each.training = mode
