"""The settings of a distillation, in the groups in which ``distill --help`` shows them.

Where Stable-Baselines3's PPO has a setting of the same meaning and another name, it is said.
"""

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Task:
    """What is distilled, how long, by which seed."""

    name: str
    """Name of the dataset, FAMILY-VARIANT."""
    env_id: str
    """Gymnasium id of the environment to distill."""
    instances: int
    """Rows of the distilled dataset, k."""
    total_steps: int
    """Environment steps of the whole run, over all learners (SB3: total_timesteps)."""
    reward_threshold: float | None = None
    """Mean return at which the environment counts as solved (SB3: StopTrainingOnRewardThreshold).
    Once learners have held it for ten iterations, the run takes a quarter of its steps more, with
    annealed learning rates, and ends. None takes all steps."""
    dims: int | None = None
    """Cart-pole axes (CartPoleND-v0 only)."""
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    """Arguments of the environment, of gym.make beside the id; in a shell as one JSON object."""
    max_episode_steps: int | None = None
    """Steps after which an episode is cut; None takes the environment's own time limit."""
    seed: int = 0
    """Seed of everything random in the run."""
    threads: int | None = None
    """Threads of torch; None takes one for observations that are vectors, where two gain 10 to 40%
    on an idle machine and lose four fifths on a busy one, and torch's own number for a game's CNN.
    With 1 runs repeat bit for bit."""
    hidden_sizes: tuple[int, ...] = (64, 64)
    """Hidden layers of the learner (SB3: net_arch); of a game's CNN the one after its
    convolutions."""
    device: str = "cpu"
    """Torch's device of all networks, such as cuda; environments stay on the CPU."""


@dataclass(frozen=True)
class Population:
    """The fresh networks that learn from the rows in each iteration, and how much they play."""

    families: tuple[str, ...] = ("orthogonal",)
    """Families of networks, of orthogonal, gains-1, xavier, pytorch and relu, among which the
    learners are divided; a family that is named twice gets two shares."""
    limit_share: float = 0.0
    """Share of the run, from its start, in which learners are what wide networks tend to: linear
    maps, whose step costs next to nothing. Networks finish it, sooner where the maps have held the
    reward_threshold, and have to hold it, too."""
    learners: int = 32
    """Fresh networks trained and rolled out side by side in one iteration, the population L."""
    envs_per_learner: int = 8
    """Environments in which each learner acts (SB3: n_envs)."""
    horizon: int = 64
    """Environment steps in each environment in one iteration (SB3: n_steps)."""
    use_envpool: bool = True
    """Whether to use EnvPool for the ids that it has, if it is installed."""


@dataclass(frozen=True)
class Optimization:
    """PPO's updates, here of the rows: the outer loop."""

    epochs: int = 4
    """Passes over an iteration's steps (SB3: n_epochs)."""
    minibatches: int = 8
    """Minibatches in each pass."""
    learning_rate: float = 1e-2
    """Outer learning rate (Adam) of observations, targets and log inner learning rate."""
    target_learning_rate: float | None = None
    """Learning rate (Adam) of targets; None takes learning_rate. With one of their own their
    gradient norm is bounded by itself."""
    critic: Literal["network", "quadratic"] = "network"
    """What estimates values: a network that is trained beside the rows, or a quadratic function of
    observations of up to 64 numbers, found by least squares, which costs a tenth."""
    critic_learning_rate: float = 1e-3
    """Learning rate (Adam) of the critic, and of a game's guide."""
    anneal: bool = True
    """Whether all learning rates fall linearly to 0 over the run; with a guide over its phase, and
    again over the learners'."""
    discount: float = 0.99
    """Reward discount (SB3: gamma)."""
    gae_lambda: float = 0.95
    """Lambda of generalized advantage estimation."""
    clip: float = 0.2
    """Clipping range of the probability ratio (SB3: clip_range)."""
    target_kl: float | None = None
    """KL divergence of an update, in nats, after which an iteration skips its other epochs; None
    takes them all."""
    entropy: float = 0.0
    """Weight of the entropy bonus (SB3: ent_coef)."""
    value_weight: float = 1.0
    """Weight of the critic's loss (SB3: vf_coef). A game's encoder learns from it too."""
    max_grad_norm: float = 0.5
    """Bound on the gradient norm of each of: the batch, the critic, a game's encoder and guide."""


@dataclass(frozen=True)
class Rows:
    """The rows, and the one gradient step on them: the inner loop."""

    initial_inner_learning_rate: float = 1.0
    """Initial value of the learning rate of the one step, which is learned."""
    consistency: float = 0.1
    """Weight of the consistency loss, the learners' error on the rows after their step; 0 distills
    as in the paper."""
    mirrored: bool = False
    """Whether rows are pairs (x, y) and (-x, -y), with observation_scale. What random biases and
    even activations add to a network's answer then cancels."""
    teacher: str | None = None
    """Name, folder or Hub repo of a dataset whose learners are imitated beside the rewards, with a
    weight that falls to 0 over the run. A game's encoder starts with the teacher's layers."""


@dataclass(frozen=True)
class Scaling:
    """What learners see, how far they explore, and which rewards they learn from."""

    observation_scale: float | None = None
    """Factor on observations after running normalization (SB3: VecNormalize); None leaves them as
    they are."""
    coordinates: tuple[int, ...] | None = None
    """Places in the observation that learners see, with observation_scale; None shows all."""
    coordinate_scales: tuple[float, ...] | None = None
    """Further factors on the coordinates that learners see, repeated over cart-pole's axes. Random
    layers let coordinates leak into each other, and one with a small weight beside others is heard
    through their leaks if it is scaled down, so that its weight grows."""
    normalize_rewards: bool = False
    """Whether to divide rewards by the running standard deviation of the return (SB3:
    norm_reward)."""
    initial_std: float = 0.6
    """Initial standard deviation of gaussian actions, in units of the action bounds (SB3: the
    exponential of log_std_init)."""
    min_std: float = 0.0
    """Lower bound of that standard deviation, in the same units."""


@dataclass(frozen=True)
class Bookkeeping:
    """Checkpoints, and the score at the end."""

    checkpoint_seconds: float = 30.0
    """Seconds between checkpoints."""
    eval_learners: int = 100
    """Fresh learners in the final evaluation."""
    eval_episodes: int = 5
    """Episodes of each of them, in each action mode."""


@dataclass(frozen=True)
class Game:
    """What games need beside; all but an encoder level serves environments of vectors, too."""

    encoder_level: int | None = None
    """Layers of the CNN, 0 to 4, that all learners share and that ship with the rows; None where
    observations are no frames."""
    encoder_learning_rate: float = 2.5e-4
    """Learning rate (Adam) of the shared layers."""
    bfloat16: bool = False
    """Whether the shared layers compute in bfloat16, for devices that have it in hardware."""
    reward_sign: bool = False
    """Whether learning sees only the signs of rewards (SB3: clip_reward)."""
    end_at_lost_life: bool = False
    """Whether a lost life ends an episode for learning (SB3: terminal_on_life_loss); scores are
    always of whole games."""
    constant_start: bool = False
    """Whether learners start by playing mostly the constant action that paid best in a trial, whose
    steps come on top of total_steps."""
    guide_share: float = 0.0
    """Share of the run, from its start, in which a guide plays: a network that is trained by
    ordinary PPO, and that learners imitate. Then learners play and go on imitating it, with a
    weight that falls to 0. The return that a run shows is that of whichever plays."""
    guide_start: str | None = None
    """Name, folder or Hub repo of a dataset that the guide starts from, as one of its learners, and
    the run's encoder, with its layers."""


GROUPS = {
    "task": Task,
    "learners": Population,
    "ppo": Optimization,
    "rows": Rows,
    "scaling": Scaling,
    "evaluation": Bookkeeping,
    "game": Game,
}
"""The groups by what the help calls them, in its order."""
