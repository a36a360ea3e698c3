"""A first phase for games, in which an ordinary PPO agent plays and learners imitate it.

Through the one step of a fresh learner the policy gradient of a game says little. So a guide, one
network behind the learners' encoder, plays in their place at first. It is trained by ordinary PPO,
and learners are drawn to its outputs (Rusu et al., "Policy Distillation", arXiv 1511.06295). Then
learners play and meta-PPO trains the encoder, while a frozen copy of the guide remains their
teacher, with a weight that falls to 0.
"""

import copy
import math

import torch
from torch import Tensor, nn

from distilled_envs.dataset import DistilledDataset
from distilled_envs.learners.networks import make_policy
from distilled_envs.spec import TaskSpec
from distilled_envs.training.ending import Ending
from distilled_envs.training.imitation import Imitation
from distilled_envs.training.meta_ppo import MetaPPO
from distilled_envs.training.rollout import Actors
from distilled_envs.training.settings import GameSettings
from distilled_envs.training.starts import start_as_learner
from distilled_envs.training.views import NumbersView

GUIDE_WEIGHT = 100.0
"""Weight of imitation when learners begin to play. With a tenth of it the policy gradient through
their step, mostly noise, is soon as strong."""


class Guide(nn.Module):
    """The guide's network, and what it was trained with, as it was at the handover.

    Args:
        network: From features to outputs, like a learner.
        view: The run's, which makes those features. Learners go on to train its layers.
        critic: The run's. It goes on to value what learners do.

    Attributes:
        network: From features to outputs.
        frozen_view: A copy of the view from the last handover.
        frozen_critic: A copy of the critic from the last handover.
        acting: Whether the guide plays now.
    """

    acting: Tensor

    def __init__(self, network: nn.Sequential, view: NumbersView, critic: nn.Module):
        super().__init__()
        self.network = network
        frozen_view, self.frozen_critic = copy.deepcopy((view, critic))
        self.frozen_view: NumbersView = frozen_view
        self.frozen_view.requires_grad_(False)
        self.frozen_critic.requires_grad_(False)
        self.register_buffer("acting", torch.tensor(True))

    def hand_over(self, view: NumbersView, critic: nn.Module) -> None:
        """Learners play from now on: keep what the guide's outputs depend on."""
        self.frozen_view.load_state_dict(view.state_dict())
        self.frozen_critic.load_state_dict(critic.state_dict())
        self.acting.fill_(False)

    def take_back(self, view: NumbersView, critic: nn.Module) -> None:
        """The guide plays again, where a finished run was made longer: restore what it needs."""
        view.load_state_dict(self.frozen_view.state_dict())
        critic.load_state_dict(self.frozen_critic.state_dict())
        self.acting.fill_(True)

    def forward(self, features: Tensor) -> Tensor:
        """Outputs ``(L, n, n_outputs)`` of features ``(L, n, ...)``."""
        return self.network(features.flatten(0, 1)).unflatten(0, features.shape[:2])

    def frozen_outputs(self, observations: Tensor) -> Tensor:
        """What it answered at the handover: observations to outputs ``(n, n_outputs)``."""
        return self.network(self.frozen_view(observations))


class Guided(MetaPPO):
    """Meta-PPO after a phase in which a guide plays.

    Args:
        settings: ``guide_share`` is the share of the run in which the guide plays.
        task: How outputs become actions.
        actors: The ``L * E`` environments.
        view: What networks see of an observation.
        start: A dataset. The guide starts as one of its learners, if they have the same
            architecture; None, or another architecture, draws a fresh network.
    """

    settings: GameSettings

    def __init__(
        self,
        settings: GameSettings,
        task: TaskSpec,
        actors: Actors,
        view: NumbersView,
        start: DistilledDataset | None = None,
    ):
        super().__init__(settings, task, actors, view)
        network = make_policy(settings.learner, task.observation_shape, task.n_outputs)
        if start is not None and start.spec.learner == settings.learner:
            start_as_learner(network, start, actors.at_random(settings.horizon))
        self.guide = Guide(view.persistent(network), view, self.critic).to(settings.device)
        self.optimizer.add_param_group({"params": [*self.guide.network.parameters()]})
        self.rates.append(settings.critic_learning_rate)
        self.ending = Ending(settings, self.handover)
        self.guide_imitation = Imitation(self.guide.frozen_outputs, task, GUIDE_WEIGHT)

    @property
    def handover(self) -> int:
        """The iteration in which learners begin to play."""
        return math.ceil(self.settings.guide_share * self.settings.iterations)

    def remaining(self) -> float:
        """The share that is still to come of the phase that the run is in, from 1 to 0."""
        handover, end = self.handover, self.ending.iterations
        if self.iteration < handover:
            return 1 - self.iteration / handover
        return 1 - (self.iteration - handover) / (end - handover)

    def iterate(self) -> dict[str, float]:
        """One iteration, of the guide or of learners; see :meth:`.MetaPPO.iterate`."""
        acts = self.iteration < self.handover
        if acts != bool(self.guide.acting):
            change = self.guide.take_back if acts else self.guide.hand_over
            change(self.view, self.critic)
            self.optimizer.state.clear()  # Adam's moments are those of the other phase's gradients
        if acts:
            return self.iterate_guide()
        self.imitation = self.guide_imitation
        return super().iterate()

    def iterate_guide(self) -> dict[str, float]:
        """One iteration of PPO for the guide, in which learners imitate it.

        Returns:
            The same metrics as those of learners.

        Raises:
            DivergedError: The run can't go on.
        """
        settings, batch, view = self.settings, self.batch, self.view
        self.anneal()
        self.imitation = None
        fresh = self.fresh_learners()
        # 1. Roll the guide out, in all environments.
        steps = self.roll_out(self.guide, self.guide.network)
        metrics = []
        for _ in range(settings.epochs):
            for minibatch in steps.minibatches(settings.minibatches):
                # 2. Learners take their gradient step. They train the batch and not the encoder,
                # which belongs to the guide in this phase.
                rows = view.without_gradient(batch.observations)
                learners = fresh.step(rows, batch.targets, batch.learning_rate, keep_graph=True)
                # 3. PPO's loss of the guide.
                seen = view(minibatch.observations)
                outputs = self.guide(seen)
                loss, parts = self.loss(outputs, learners, rows, seen, minibatch)
                # 4. Imitation: from the guide's policy to that of learners.
                parts["following"] = self.guide_imitation.divergence(
                    outputs.detach(), learners(seen.detach()), batch.target_log_std, minibatch
                )
                # 5. Adam moves guide, encoder, critic and batch.
                self.descend(loss + parts["following"])
                metrics.append({name: part.detach() for name, part in parts.items()})
            if self.has_reached_target_kl(metrics):
                break
        return self.end_iteration(fresh, metrics)

    def state_dict(self) -> dict:
        """Everything the run goes on from."""
        return super().state_dict() | {"guide": self.guide.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        """Go on from :meth:`state_dict`."""
        self.guide.load_state_dict(state["guide"])
        super().load_state_dict(state)
