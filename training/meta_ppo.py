"""Meta-PPO: PPO's clipped loss of a learner, differentiated through the learner's one step.

Wilhelm & Ventura, "Distilling Reinforcement Learning into Single-Batch Datasets", arXiv
2508.09283 (there: proximal policy meta-optimisation). One iteration:

1. draw fresh learners, a population of them;
2. one gradient step each on the distilled batch;
3. roll them out, each in its own environments; advantages from a critic that all share;
4. epochs of minibatches: take the inner step again with its graph kept, and let the gradient of
   the clipped loss flow through it into observations, targets and inner learning rate, and into
   the encoder where learners share their first layers.

A run can begin with a guide, which acts and learns in the learners' place while they follow its
answers; see :mod:`distilled_envs.training.guide`. Then it is their teacher.
"""

import functools
import itertools
import math
from collections.abc import Callable

import gymnasium as gym
import torch
from torch import Tensor, nn
from torch.distributions import kl_divergence
from torch.func import functional_call

from distilled_envs.actions import action_distribution
from distilled_envs.dataset import DistilledDataset
from distilled_envs.environments import transformed_space
from distilled_envs.inner_step import inner_loss, inner_step
from distilled_envs.learner import (
    Parameters,
    forward,
    initial_parameters,
    make_encoder,
    make_policy,
)
from distilled_envs.spec import LearnerSpec, TaskSpec
from distilled_envs.training.batch import DistilledBatch
from distilled_envs.training.centred import alike_slowly, centre, centred
from distilled_envs.training.divergence import DivergedError, check_divergence
from distilled_envs.training.guide import TEACHING, Guide
from distilled_envs.training.normalisation import (
    ObservationNormaliser,
    RewardNormaliser,
    RewardSign,
)
from distilled_envs.training.rollout import Actors
from distilled_envs.training.settings import Settings
from distilled_envs.training.teacher import answers, start_as_learner

CENTRED_ON = 256
"""Frames of an iteration on which the networks of a game are centred."""


class MetaPPO:
    """The outer loop's state: distilled batch, encoder, critic, optimisers, and the environments.

    Randomness comes from torch's global generator and from the environments' own.

    Args:
        settings: See :class:`~distilled_envs.training.settings.Settings`.
        env: Vector environment with ``learners * envs_per_learner`` copies.
        task: How outputs become actions.
        env_seed: Seed of the environments' first reset.
        teacher: A dataset whose learners are followed beside the rewards, or start as a guide.
    """

    def __init__(
        self,
        settings: Settings,
        env: gym.vector.VectorEnv,
        task: TaskSpec,
        env_seed: int = 0,
        teacher: DistilledDataset | None = None,
    ):
        self.settings = settings
        self.task = task
        self.learner, self.device = settings.learner, torch.device(settings.device)
        space, actions = env.single_observation_space, env.single_action_space
        shape = task.observation_shape
        self.normaliser = rewards = None
        if settings.observation_scale is not None:
            self.normaliser = ObservationNormaliser(
                *shape, settings.observation_scale, settings.coordinates
            )
            space = transformed_space(self.normaliser.frozen(), space)
        if settings.normalise_rewards:
            rewards = RewardNormaliser(env.num_envs, settings.discount)
        elif settings.reward_sign:
            rewards = RewardSign()
        lives = settings.end_at_lost_life
        self.actors = Actors(env, task, env_seed, self.normaliser, rewards, lives)
        self.encoder, first = nn.Sequential(), None
        frames = settings.encoder_level is not None
        if frames:  # encoder and rows start from what a random player sees
            seen = self.actors.at_random(settings.horizon)
            known = None if teacher is None else teacher.encoder
            self.encoder = centred(make_encoder(self.learner, seen, known))
            first = seen[torch.arange(settings.instances) % len(seen)].float()
        followed = teacher is not None and not settings.guide_share
        self.teacher = answers(teacher, self.device) if followed else None
        # A gaussian's spread is measured by the bounds of each action dimension.
        bounds = torch.from_numpy(actions.high) if task.kind == "gaussian" else None
        self.batch = DistilledBatch(
            space,
            settings.instances,
            task.n_outputs,
            settings.initial_inner_learning_rate,
            scale=settings.observation_scale or 1.0,
            bounded=settings.observation_scale is not None,
            std=None if bounds is None else settings.initial_std * bounds,
            min_std=None if bounds is None else settings.min_std * bounds,
            observations=first,
        ).to(self.device)
        # The critic sees what learners see: behind an encoder both are the rest of the network.
        self.critic = make_policy(self.learner if frames else LearnerSpec(), shape, 1)
        if frames:
            self.critic = centred(self.critic)
        self.guide = None
        if settings.guide_share:
            guide = make_policy(self.learner, shape, task.n_outputs)
            if teacher is not None and teacher.spec.learner == self.learner:
                start_as_learner(guide, teacher, self.actors.at_random(settings.horizon))
            self.guide = Guide(centred(guide) if frames else guide, self.encoder, self.critic)
        for part in (self.critic, self.guide or nn.Identity(), self.encoder):
            part.to(self.device, memory_format=torch.channels_last)
        groups = [(settings.learning_rate, [*self.batch.parameters()])]
        if settings.target_learning_rate is not None:
            targets = self.batch.targets
            others = [each for each in self.batch.parameters() if each is not targets]
            groups = [(settings.learning_rate, others), (settings.target_learning_rate, [targets])]
        if self.encoder:
            groups.append((settings.encoder_learning_rate, [*self.encoder.parameters()]))
        if self.guide is not None:
            groups.append((settings.critic_learning_rate, [*self.guide.network.parameters()]))
        self._rates = [rate for rate, _ in groups]
        self.optimizer = torch.optim.Adam([{"params": p} for _, p in groups], eps=1e-5, fused=True)
        self.critic_optimizer = torch.optim.Adam(
            self.critic.parameters(), settings.critic_learning_rate, eps=1e-5, fused=True
        )
        self.iteration = 0

    def iterate(self) -> dict[str, float]:
        """One outer iteration.

        Returns:
            Its metrics: mean return of recent episodes, losses, KL, and what the batch looks like.

        Raises:
            DivergedError: The run can't go on.
        """
        settings = self.settings
        guided = self.iteration < self._handover()
        teacher, teaching = self.teacher, self._left()
        if self.guide is not None:
            if self.guide.leading != guided:
                self.guide.lead(guided, self.encoder, self.critic)
                self.optimizer.state.clear()  # Adam's scale is that of other losses
            if guided:
                teaching = 1.0
            else:
                teacher, teaching = self._guide_as_it_was, TEACHING * teaching
        self._anneal()
        initial = self.initial_parameters()
        learners = self.trained(initial)
        log_std = self.batch.target_log_std
        log_std = None if log_std is None else log_std.detach().cpu().clone()
        values: list[Tensor] = []
        advice: list[Tensor] = []

        def act(observations: Tensor) -> Tensor:  # the critic judges what is encoded already
            features = self.features(observations)
            values.append(self._values(features).cpu())
            if teacher is not None:
                advice.append(teacher(observations).cpu())
            grouped = features.unflatten(0, (settings.learners, -1))
            outputs = self.guide(grouped) if guided else forward(self.learner, learners, grouped)
            return outputs.flatten(0, 1).cpu()

        rollout = self.actors.collect(act, log_std, settings.horizon)
        with torch.no_grad():
            values.append(self._values(self.features(rollout.observations[-1])).cpu())
        if self.normaliser is not None:  # its statistics have moved, and the bounds with them
            space = self.actors.env.single_observation_space
            self.batch.bound(transformed_space(self.normaliser.frozen(), space))
        value = torch.stack(values)
        advantages = rollout.advantages(value, settings.discount, settings.gae_lambda)

        # From (T, B, ...) to (L, T * E, ...): a minibatch has the same steps of every learner.
        observations = self._by_learner(rollout.observations[:-1])
        actions = self._by_learner(rollout.actions)
        old_policy = action_distribution(self.task, rollout.outputs, log_std)
        old_log_probs = self._by_learner(old_policy.log_prob(rollout.actions))
        if settings.encoder_level is not None:
            some = rollout.observations.flatten(0, 1)
            some = some[torch.randperm(len(some))[:CENTRED_ON]].to(self.device)
            features = centre(self.encoder, some)
            centre(self.critic, features)
            if guided:
                centre(self.guide.network, features)
        returns = self._by_learner(advantages + value[:-1])
        advantages = self._by_learner(advantages)
        valid = self._by_learner(rollout.valid)
        advised = self._by_learner(torch.stack(advice)) if advice else None

        # Learners that only follow leave the encoder to the guide.
        encoder = self._still_encoder() if guided else self.encoder
        metrics: list[dict[str, Tensor]] = []
        for _ in range(settings.epochs):
            for rows in torch.randperm(observations.shape[1]).chunk(settings.minibatches):
                transitions = valid[:, rows].bool()
                weights = valid[:, rows] / valid[:, rows].sum().clamp(min=1)
                lesson = self.features(self.batch.observations, encoder)
                learners = self._inner_step(initial, lesson, keep_graph=True)
                seen = self.features(observations[:, rows])
                if guided:
                    outputs = self.guide(seen)
                    leader, led = outputs.detach(), forward(self.learner, learners, seen.detach())
                else:
                    outputs = led = forward(self.learner, learners, seen)
                    leader = None if advised is None else advised[:, rows]
                if settings.encoder_level is not None:
                    outputs = alike_slowly(outputs)
                if self.encoder:
                    seen = alike_slowly(seen)
                policy = action_distribution(self.task, outputs, self.batch.target_log_std)
                log_ratio = policy.log_prob(actions[:, rows]) - old_log_probs[:, rows]
                log_ratio = log_ratio.where(transitions, 0)
                policy_loss = self._clipped_loss(log_ratio, advantages[:, rows], weights)
                after = forward(self.learner, learners, lesson)
                consistency = inner_loss(after, self.batch.targets).mean() / (
                    self.batch.targets.square().mean()
                )
                errors = self._values(seen.flatten(0, 1)).view_as(weights) - returns[:, rows]
                value_loss = (errors.square() * weights).sum()
                entropy = (policy.entropy() * weights).sum()

                loss = policy_loss + settings.consistency * consistency
                loss = loss - settings.entropy * entropy + settings.value_weight * value_loss
                kl = ((log_ratio.exp() - 1 - log_ratio) * weights).sum()
                parts = {"policy_loss": policy_loss, "value_loss": value_loss, "kl": kl}
                parts |= {"consistency": consistency, "entropy": entropy}
                if leader is not None:
                    std = None if log_std is None else self.batch.target_log_std.detach()
                    leads, follows = (
                        action_distribution(self.task, each, std) for each in (leader, led)
                    )
                    parts["following"] = (kl_divergence(leads, follows) * weights).sum()
                    loss = loss + teaching * parts["following"]
                self._descend(loss)
                metrics.append({name: part.detach() for name, part in parts.items()})
            if settings.target_kl is not None and kl > settings.target_kl:
                break
        result = self._metrics(metrics)
        self.trained(initial)  # what goes into a checkpoint can still be learned from
        self.iteration += 1
        return result

    def target_log_std(self) -> tuple[float, ...] | None:
        """The learned log standard deviations of a gaussian task."""
        log_std = self.batch.target_log_std
        return None if log_std is None else tuple(log_std.tolist())

    def state_dict(self) -> dict:
        """Everything the run goes on from."""
        return {
            "iteration": self.iteration,
            "batch": self.batch.state_dict(),
            "encoder": self.encoder.state_dict(),
            "critic": self.critic.state_dict(),
            "guide": None if self.guide is None else self.guide.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "critic_optimizer": self.critic_optimizer.state_dict(),
            "actors": self.actors.get_state(),
            "torch_rng": torch.get_rng_state(),
        }

    def load_state_dict(self, state: dict) -> None:
        """Go on from :meth:`state_dict`."""
        self.iteration = state["iteration"]
        for part in ("batch", "encoder", "critic", "guide", "optimizer", "critic_optimizer"):
            if getattr(self, part) is not None:
                getattr(self, part).load_state_dict(state[part])
        self.actors.set_state(state["actors"])
        torch.set_rng_state(state["torch_rng"])

    def initial_parameters(self) -> Parameters:
        """Fresh learners, before their step."""
        shape, n_outputs = self.task.observation_shape, self.task.n_outputs
        initial = initial_parameters(self.learner, shape, n_outputs, self.settings.learners)
        return {name: value.to(self.device) for name, value in initial.items()}

    def features(
        self, observations: Tensor, encoder: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """What learners and critic see: observations ``(..., *shape)``, encoded if need be.

        Args:
            observations: What the environment shows.
            encoder: None takes the run's own.
        """
        observations = observations.to(self.device)
        if not self.encoder:
            return observations
        some, encoder = len(self.task.observation_shape), encoder or self.encoder
        with torch.autocast(self.device.type, torch.bfloat16, self.settings.bfloat16):
            features = encoder(observations.flatten(end_dim=-some - 1))
        return features.float().unflatten(0, observations.shape[:-some])

    def _still_encoder(self) -> Callable[[Tensor], Tensor]:
        """The encoder, without a gradient that reaches it, only one that reaches what it sees."""
        fixed = {name: each.detach() for name, each in self.encoder.named_parameters()}
        return functools.partial(functional_call, self.encoder, fixed)

    def _guide_as_it_was(self, observations: Tensor) -> Tensor:
        """What the guide answered when it gave way, ``(n, n_outputs)``."""
        return self.guide.network(self.features(observations, self.guide.kept[0]))

    def _handover(self) -> int:
        """The iteration in which learners take the guide's place."""
        return math.ceil(self.settings.guide_share * self.settings.iterations)

    def _values(self, features: Tensor) -> Tensor:
        """The critic's values ``(n,)`` of features ``(n, ...)``."""
        return self.critic(features).squeeze(-1)

    def _inner_step(self, initial: Parameters, lesson: Tensor, *, keep_graph: bool) -> Parameters:
        batch = self.batch
        return inner_step(
            self.learner, initial, lesson, batch.targets, batch.learning_rate, keep_graph=keep_graph
        )

    def trained(self, initial: Parameters) -> Parameters:
        """The learners after their step, checked."""
        lesson = self.features(self.batch.observations)
        learners = self._inner_step(initial, lesson, keep_graph=False)
        if not all(value.isfinite().all() for value in learners.values()):
            raise DivergedError(
                f"The run diverged in iteration {self.iteration + 1}: the learners are not finite "
                "after their step."
            )
        return learners

    def _by_learner(self, steps: Tensor) -> Tensor:
        """``(T, L * E, ...)`` to ``(L, T * E, ...)``; numbers go to the device, frames later."""
        grouped = steps.unflatten(1, (self.settings.learners, -1)).transpose(0, 1).flatten(1, 2)
        return grouped if grouped.dtype == torch.uint8 else grouped.to(self.device)

    def _clipped_loss(self, log_ratio: Tensor, advantages: Tensor, weights: Tensor) -> Tensor:
        """PPO's clipped surrogate over steps ``(L, n)``; weights sum to 1 and skip resets."""
        mean = (advantages * weights).sum()
        std = ((advantages - mean).square() * weights).sum().sqrt()
        advantages = (advantages - mean) / (std + 1e-8)
        ratio = log_ratio.exp()
        clipped = ratio.clamp(1 - self.settings.clip, 1 + self.settings.clip)
        return -(torch.minimum(ratio * advantages, clipped * advantages) * weights).sum()

    def _descend(self, loss: Tensor) -> None:
        """One step of everything, the gradient of each group of parameters bounded by itself."""
        optimizers = self.optimizer, self.critic_optimizer
        groups = [group["params"] for each in optimizers for group in each.param_groups]
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward(inputs=[*itertools.chain(*groups)])
        for group in groups:
            nn.utils.clip_grad_norm_(group, self.settings.max_grad_norm)
        for optimizer in optimizers:
            optimizer.step()
        self.batch.project()

    def _left(self) -> float:
        """What is left of the guide's part of the run, or of the learners', from 1 to 0."""
        handover, end = self._handover(), self.settings.iterations
        if self.iteration < handover:
            return 1 - self.iteration / handover
        return 1 - (self.iteration - handover) / (end - handover)

    def _anneal(self) -> None:
        settings = self.settings
        left = self._left() if settings.anneal else 1.0
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * left
        self.critic_optimizer.param_groups[0]["lr"] = settings.critic_learning_rate * left

    def _metrics(self, minibatches: list[dict[str, Tensor]]) -> dict[str, float]:
        """Means over minibatches, checked for divergence."""
        losses = {
            name: torch.stack([part[name] for part in minibatches]) for name in minibatches[0]
        }
        metrics = {name: values.mean().item() for name, values in losses.items()}
        check_divergence(self.batch, metrics, self.iteration + 1)
        recent = self.actors.recent_returns
        return metrics | {
            "return": sum(recent) / len(recent) if recent else float("nan"),
            "inner_learning_rate": self.batch.learning_rate.item(),
            "observations_rms": self.batch.observations.detach().square().mean().sqrt().item(),
            "targets_rms": self.batch.targets.detach().square().mean().sqrt().item(),
        }
