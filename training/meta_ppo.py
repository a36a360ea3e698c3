"""Meta-PPO: PPO's loss of freshly trained learners, descended on the rows that trained them.

Learners are networks that are drawn anew in each iteration and take one gradient step on the
distilled batch. PPO's clipped loss of what they then do is differentiated through that step, with
respect to the batch (Wilhelm & Ventura, "Distilling Reinforcement Learning into Single-Batch
Datasets", arXiv 2508.09283; there: proximal policy meta-optimization). :meth:`MetaPPO.iterate` is
the whole algorithm. Shapes: L learners, T steps in each of their E environments, k rows.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from distilled_envs.errors import DivergedError
from distilled_envs.learners.actions import action_distribution
from distilled_envs.learners.limit import Learners, LimitPopulation
from distilled_envs.learners.mixture import Mixture
from distilled_envs.learners.one_step import inner_loss
from distilled_envs.spec import TaskSpec
from distilled_envs.training.batch import DistilledBatch
from distilled_envs.training.critics import QuadraticCritic
from distilled_envs.training.distributed import average, average_gradients, mean_metrics
from distilled_envs.training.ending import Ending
from distilled_envs.training.imitation import Imitation
from distilled_envs.training.ppo import Steps, approximate_kl, clipped_loss, log_ratio
from distilled_envs.training.rollout import Actors
from distilled_envs.training.settings import Settings
from distilled_envs.training.views import NumbersView

DIVERGED_KL = 10.0
"""KL divergence of an iteration, in nats, from which a run counts as diverged. PPO's clipping keeps
those of a run that learns far below."""
_PARTS = ("batch", "view", "critic", "optimizer", "critic_optimizer", "ending")


class MetaPPO:
    """The outer loop and its state: distilled batch, view, critic, optimizers, environments.

    Randomness comes from torch's global generator and from the environments' own.

    Args:
        settings: See :class:`~distilled_envs.training.settings.Settings`.
        task: How outputs become actions.
        actors: The ``L * E`` environments.
        view: What networks see of an observation; see :mod:`~distilled_envs.training.views`.
        imitation: A loss that draws learners to a teacher; None learns from rewards alone.
    """

    def __init__(
        self,
        settings: Settings,
        task: TaskSpec,
        actors: Actors,
        view: NumbersView,
        imitation: Imitation | None = None,
    ):
        self.settings, self.task, self.actors, self.view = settings, task, actors, view
        self.imitation = imitation
        self.batch = DistilledBatch.from_settings(settings, task, actors.env, view)
        self.critic = view.critic()
        groups = self.batch.parameter_groups(settings) + view.parameter_groups()
        self.rates = [rate for rate, _ in groups]
        self.optimizer = torch.optim.Adam([{"params": p} for _, p in groups], eps=1e-5, fused=True)
        self.critic_optimizer = torch.optim.Adam(
            self.critic.parameters(), settings.critic_learning_rate, eps=1e-5, fused=True
        )
        self.iteration, self.ending = 0, Ending(settings)

    def iterate(self) -> dict[str, float]:
        """One outer iteration.

        Returns:
            Its metrics: mean return of recent episodes, means of the losses over minibatches, and
            the size of rows, targets and inner learning rate.

        Raises:
            DivergedError: The run can't go on.
        """
        settings, batch, view = self.settings, self.batch, self.view
        remaining = self.anneal()
        # 1. Draw fresh learners. 2. Each takes one gradient step on the distilled batch.
        fresh = self.fresh_learners()
        learners = self.after_step(fresh)
        # 3. Roll them out, each in its own environments, and estimate advantages.
        steps = self.roll_out(learners)
        metrics = []
        for _ in range(settings.epochs):
            for minibatch in steps.minibatches(settings.minibatches):
                # 4. Take the same gradient step again, from the same fresh learners, and keep its
                # graph: the loss below is differentiated with respect to observations, targets
                # and inner learning rate.
                rows = view(batch.observations)
                learners = fresh.step(rows, batch.targets, batch.learning_rate, keep_graph=True)
                # 5. PPO's loss of the learners after their step, and perhaps imitation.
                seen = view(minibatch.observations)
                outputs = learners(seen)
                loss, parts = self.loss(outputs, learners, rows, seen, minibatch)
                if self.imitation is not None:
                    parts["following"] = self.imitation(outputs, batch.target_log_std, minibatch)
                    loss = loss + self.imitation.weight * remaining * parts["following"]
                # 6. Adam moves batch and critic.
                self.descend(loss)
                metrics.append({name: part.detach() for name, part in parts.items()})
            if self.has_reached_target_kl(metrics):
                break
        return self.end_iteration(fresh, metrics)

    def fresh_learners(self) -> Learners:
        """L networks before their step."""
        settings = self.settings
        if self.ending.is_of_limit_learners(self.iteration):
            (network,), device = settings.networks, settings.device
            return LimitPopulation.draw(network, self.task, settings.learners, device=device)
        return Mixture.draw(settings.networks, self.task, settings.learners, device=settings.device)

    def after_step(self, fresh: Learners) -> Learners:
        """Learners after their step on the batch as it is now, without a graph.

        Raises:
            DivergedError: A weight is not finite.
        """
        batch = self.batch
        learners = fresh.step(self.view(batch.observations), batch.targets, batch.learning_rate)
        if not learners.is_finite():
            raise DivergedError(
                f"The run diverged in iteration {self.iteration + 1}: the learners are not finite "
                "after their step."
            )
        return learners

    def roll_out(self, policy: Callable[[Tensor], Tensor], *persistent: nn.Module) -> Steps:
        """Act for T steps in all environments, with advantages by the critic.

        Args:
            policy: From features ``(L, E, ...)`` to outputs ``(L, E, n_outputs)``.
            persistent: Networks on those features, beside the critic, that are trained through
                the whole run.
        """
        settings, batch = self.settings, self.batch
        learned = batch.target_log_std
        log_std = None if learned is None else learned.detach().cpu().clone()
        values, advice = list[Tensor](), list[Tensor]()

        def look(observations: Tensor) -> Tensor:
            seen = self.view(observations).unflatten(0, (settings.learners, -1))
            values.append(self.values(seen).flatten().cpu())
            return seen

        def outputs(observations: Tensor) -> Tensor:
            seen = look(observations)
            if self.imitation is not None:
                advice.append(self.imitation.teacher(observations).cpu())
            return policy(seen).flatten(0, 1).cpu()

        rollout = self.actors.collect(outputs, log_std, settings.horizon)
        with torch.no_grad():
            look(rollout.observations[-1])
        # The running normalization has moved, and with it the space in which rows must lie.
        batch.bound(self.view.space)
        value = torch.stack(values)
        advantages = rollout.advantages(value, settings.discount, settings.gae_lambda)
        drawn_from = action_distribution(self.task, rollout.outputs, log_std)
        self.view.recenter(rollout, self.critic, *persistent)
        steps = Steps(
            observations=self.by_learner(rollout.observations[:-1]),
            actions=self.by_learner(rollout.actions),
            log_probs=self.by_learner(drawn_from.log_prob(rollout.actions)),
            advantages=self.by_learner(advantages),
            returns=self.by_learner(advantages + value[:-1]),
            valid=self.by_learner(rollout.valid),
            advice=self.by_learner(torch.stack(advice)) if advice else None,
        )
        if isinstance(self.critic, QuadraticCritic):
            self.critic.fit(steps)
        return steps

    def by_learner(self, steps: Tensor) -> Tensor:
        """``(T, L * E, ...)`` to ``(L, T * E, ...)``, on the run's device.

        Frames stay where they are: a view moves those of each minibatch by themselves.
        """
        grouped = steps.unflatten(1, (self.settings.learners, -1)).transpose(0, 1).flatten(1, 2)
        return grouped if grouped.dtype == torch.uint8 else grouped.to(self.settings.device)

    def values(self, seen: Tensor) -> Tensor:
        """The critic's values ``(L, n)`` of features ``(L, n, ...)``."""
        return self.critic(seen.flatten(0, 1)).squeeze(-1).unflatten(0, seen.shape[:2])

    def loss(
        self, outputs: Tensor, learners: Learners, rows: Tensor, seen: Tensor, minibatch: Steps
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """PPO's loss of the policy that acted, and the consistency term of learners.

        Args:
            outputs: The policy's, now, in the minibatch ``(L, n, n_outputs)``.
            learners: After their step, with its graph; most often they are that policy.
            rows: Features of the distilled observations ``(k, ...)``.
            seen: Features of the minibatch's observations ``(L, n, ...)``.
            minibatch: Steps ``(L, n, ...)``.

        Returns:
            The loss, and its parts by name.
        """
        settings, batch, view = self.settings, self.batch, self.view
        # Policy loss
        policy = action_distribution(self.task, view.damped(outputs), batch.target_log_std)
        ratio = log_ratio(policy.log_prob(minibatch.actions), minibatch)
        policy_loss = clipped_loss(ratio, minibatch, settings.clip)
        # Consistency loss (not in the paper): the learners' mean squared error on the rows after
        # their step, as a share of the targets' mean square. Without it only the one step can use
        # the rows: on 2-D cart-pole with 64 rows Adam to convergence gets returns of 10 to 46,
        # with it 500.
        with torch.set_grad_enabled(settings.consistency > 0):
            consistency = inner_loss(learners(rows), batch.targets).mean()
            consistency = consistency / batch.targets.square().mean()
        # Value loss
        errors = self.values(view.damped(seen)) - minibatch.returns
        value_loss = (errors.square() * minibatch.weights).sum()
        # Entropy bonus
        entropy = (policy.entropy() * minibatch.weights).sum()
        loss = policy_loss + settings.consistency * consistency
        loss = loss - settings.entropy * entropy + settings.value_weight * value_loss
        parts = {"policy_loss": policy_loss, "value_loss": value_loss, "entropy": entropy}
        return loss, parts | {"consistency": consistency, "kl": approximate_kl(ratio, minibatch)}

    def descend(self, loss: Tensor) -> None:
        """One Adam step; the gradient norm of each group of parameters is clipped by itself."""
        optimizers = self.optimizer, self.critic_optimizer
        groups = [group["params"] for each in optimizers for group in each.param_groups]
        parameters = [each for group in groups for each in group if each.requires_grad]
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward(inputs=parameters)
        average_gradients(parameters)
        for group in groups:
            nn.utils.clip_grad_norm_(group, self.settings.max_grad_norm)
        for optimizer in optimizers:
            optimizer.step()
        self.batch.project()

    def has_reached_target_kl(self, metrics: list[dict[str, Tensor]]) -> bool:
        """Whether the last minibatch's KL divergence ends the iteration's epochs."""
        target = self.settings.target_kl
        return target is not None and bool(average(metrics[-1]["kl"]) > target)

    def remaining(self) -> float:
        """The share of the run that is still to come, from 1 to 0."""
        return 1 - self.iteration / self.ending.iterations

    def anneal(self) -> float:
        """Set the learning rates of this iteration, and return :meth:`remaining`."""
        remaining = self.remaining()
        share = remaining if self.settings.anneal else 1.0
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * share
        self.critic_optimizer.param_groups[0]["lr"] = self.settings.critic_learning_rate * share
        return remaining

    def end_iteration(self, fresh: Learners, parts: list[dict[str, Tensor]]) -> dict[str, float]:
        """Metrics of the iteration, after a check that the run can go on.

        Args:
            fresh: The iteration's learners before their step.
            parts: Those of the loss in each of its minibatches.

        Raises:
            DivergedError: Batch, losses or learners are not finite, or the policy has jumped.
        """
        metrics = mean_metrics(parts)
        fault = self.batch.fault()
        if fault is None and not all(math.isfinite(value) for value in metrics.values()):
            fault = "a loss is not finite"
        if fault is None and metrics["kl"] > DIVERGED_KL:
            fault = f"the policies jump, by a KL divergence of {metrics['kl']:.3g}"
        if fault is not None:
            raise DivergedError(f"The run diverged in iteration {self.iteration + 1}: {fault}.")
        self.after_step(fresh)  # only a batch that learners can learn from becomes a checkpoint
        self.iteration += 1
        mean_return, ended, recent = self.actors.recent_episodes()
        self.ending.note(self.iteration, mean_return, ended, recent)
        return metrics | {"return": mean_return} | self.batch.summary()

    def state_dict(self) -> dict:
        """Everything the run goes on from."""
        return {name: getattr(self, name).state_dict() for name in _PARTS} | {
            "iteration": self.iteration,
            "actors": self.actors.get_state(),
            "torch_rng": torch.get_rng_state(),
        }

    def load_state_dict(self, state: dict) -> None:
        """Go on from :meth:`state_dict`."""
        self.iteration = state["iteration"]
        for name in _PARTS:
            getattr(self, name).load_state_dict(state[name])
        self.actors.set_state(state["actors"])
        torch.set_rng_state(state["torch_rng"])
