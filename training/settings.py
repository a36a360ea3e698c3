"""Every setting of a distillation."""

import math
from dataclasses import dataclass

from distilled_envs.atari import ENV_KWARGS
from distilled_envs.errors import SettingsError
from distilled_envs.spec import ENCODER_LEVELS, LearnerSpec


@dataclass(frozen=True)
class Settings:
    """Settings of one distillation."""

    name: str
    """Name of the dataset, "<family>-<variant>"."""
    env_id: str
    """Gymnasium id of the environment to distil."""
    instances: int
    """Rows of the distilled dataset, k."""
    total_steps: int
    """Environment steps of the whole run, over all learners."""
    dims: int | None = None
    """Cart-pole axes (CartPoleND-v0 only)."""
    seed: int = 0
    """Seed of everything random in the run."""
    threads: int | None = None
    """Threads of torch; None leaves torch's own choice, 1 makes runs repeat bit for bit."""

    hidden_sizes: tuple[int, ...] = (64, 64)
    """Hidden layers of the learner; of a CNN the one after its convolutions."""
    encoder_level: int | None = None
    """Atari games only: how many layers of the CNN are learned with the rows and shared by all
    learners, 0 to 4."""
    learners: int = 32
    """Fresh networks trained and rolled out side by side in one iteration, the population L."""
    envs_per_learner: int = 8
    """Environments in which each learner acts."""
    horizon: int = 64
    """Environment steps in each environment in one iteration."""
    epochs: int = 4
    """Passes over an iteration's steps."""
    minibatches: int = 8
    """Minibatches in each pass."""

    learning_rate: float = 1e-2
    """Outer learning rate (Adam) of observations, targets and log inner learning rate."""
    target_learning_rate: float | None = None
    """Learning rate (Adam) of targets, if it is another; their gradient is then bounded by
    itself."""
    critic_learning_rate: float = 1e-3
    """Learning rate (Adam) of the value network, and of the guide."""
    encoder_learning_rate: float = 2.5e-4
    """Learning rate (Adam) of the shared layers."""
    value_weight: float = 1.0
    """Weight of the critic's loss, which the shared layers learn from too."""
    anneal: bool = True
    """Whether all learning rates fall linearly to 0 over the run; with a guide they do so over its
    part, and again over the learners'."""
    discount: float = 0.99
    """Reward discount, gamma."""
    gae_lambda: float = 0.95
    """Lambda of generalised advantage estimation."""
    clip: float = 0.2
    """PPO's clipping range of the probability ratio."""
    max_grad_norm: float = 0.5
    """Bound on the norm of the gradient of the batch, of the encoder's, of the critic's, and of the
    guide's."""
    target_kl: float | None = None
    """Mean KL divergence at which an iteration takes no more epochs; None takes them all."""
    consistency: float = 0.1
    """Weight of the normalised inner loss after the step; 0 distils as in the paper."""
    initial_inner_learning_rate: float = 1.0
    """Where the inner learning rate starts; it is learned in log space."""

    observation_scale: float | None = None
    """Factor on observations after running normalisation; None shows them as they are."""
    coordinates: tuple[int, ...] | None = None
    """Observation coordinates that learners see, under observation_scale; None shows all."""
    normalise_rewards: bool = False
    """Whether to divide rewards by the running standard deviation of the return."""
    reward_sign: bool = False
    """Whether only the sign of a reward counts for learning."""
    end_at_lost_life: bool = False
    """Whether learning takes a lost life for the end of an episode; scores never do."""
    initial_std: float = 0.6
    """Where the standard deviation of gaussian actions starts, in units of the action bounds."""
    min_std: float = 0.0
    """Floor under that standard deviation, in the same units."""
    constant_start: bool = False
    """Whether learners start by playing mostly the action that paid best in a trial, where nothing
    else was played. The trial's steps come on top of ``total_steps``."""
    entropy: float = 0.0
    """Weight of the policy's entropy in the outer loss."""
    teacher: str | None = None
    """Name, folder or Hub repo of a dataset whose learners' answers are followed beside the
    rewards, less and less until the end; the run's encoder starts with the layers of its own. A
    guide is not taught by it, but starts as one of its learners if they are like its own."""
    guide_share: float = 0.0
    """Share of the run, from its start, that is led by a guide: a network that is trained by
    ordinary PPO, and which learners follow. Then they lead, and are held to its last answers beside
    the rewards, less and less. The return that a run shows is that of who leads."""
    use_envpool: bool = True
    """Whether to use EnvPool for the ids that it has, if it is installed."""

    device: str = "cpu"
    """Torch's device of all networks, such as "cuda"; environments stay on the CPU."""
    bfloat16: bool = False
    """Whether the shared layers compute in bfloat16, for devices that have it in hardware."""

    checkpoint_seconds: float = 30.0
    """Wall time between checkpoints."""
    eval_learners: int = 100
    """Fresh learners in the final evaluation."""
    eval_episodes: int = 5
    """Episodes of each of them, in each action mode."""

    def __post_init__(self):
        for name, lowest, above in _BOUNDS:
            value = getattr(self, name)
            if value is None:
                continue
            if not math.isfinite(value) or value < lowest or (above and value == lowest):
                word = "above" if above else "at least"
                raise SettingsError(f"{name} must be {word} {lowest}, got {value}.")
        for name in ("discount", "gae_lambda", "guide_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name} must lie in 0..1, got {getattr(self, name)}.")
        if not self.hidden_sizes or min(self.hidden_sizes) < 1:
            raise SettingsError(f"hidden_sizes must be positive, got {self.hidden_sizes}.")
        if self.coordinates is not None:
            if self.observation_scale is None:
                raise SettingsError("coordinates needs an observation_scale.")
            if not self.coordinates or len(set(self.coordinates)) < len(self.coordinates):
                raise SettingsError(f"coordinates must be different, got {self.coordinates}.")
        if self.env_id.startswith("ALE/") != (self.encoder_level is not None):
            raise SettingsError(
                f"encoder_level is for Atari games (ALE/...), and needed there; {self.env_id} with "
                f"encoder_level {self.encoder_level} can't be distilled."
            )
        if self.encoder_level is not None:
            if self.encoder_level not in ENCODER_LEVELS:
                raise SettingsError(f"encoder_level must be 0 to 4, got {self.encoder_level}.")
            if len(self.hidden_sizes) != 1:
                raise SettingsError(
                    f"A CNN has one hidden layer after its convolutions, got {self.hidden_sizes}."
                )
            if self.observation_scale is not None:
                raise SettingsError("Frames are shown as they are: leave out observation_scale.")
        elif self.end_at_lost_life:
            raise SettingsError("end_at_lost_life is for Atari games, where lives are counted.")
        if self.teacher is not None and self.observation_scale is not None:
            raise SettingsError("A teacher sees plain observations: leave out observation_scale.")
        if self.guide_share and self.constant_start:
            raise SettingsError(
                "With a guide_share learners follow a guide from the start: leave out "
                "constant_start."
            )
        if self.normalise_rewards and self.reward_sign:
            raise SettingsError("normalise_rewards and reward_sign exclude each other.")
        if self.minibatches > self.horizon * self.envs_per_learner:
            raise SettingsError(
                f"minibatches={self.minibatches} is more than the "
                f"{self.horizon * self.envs_per_learner} steps of a learner in one iteration."
            )

    @property
    def env_kwargs(self) -> dict[str, int | float]:
        """Arguments of ``gym.make`` beside the id."""
        if self.encoder_level is not None:
            return ENV_KWARGS
        return {} if self.dims is None else {"dims": self.dims}

    @property
    def learner(self) -> LearnerSpec:
        """The network that is distilled for."""
        if self.encoder_level is None:
            return LearnerSpec(hidden_sizes=self.hidden_sizes)
        return LearnerSpec(
            "nature-cnn", self.hidden_sizes, "relu", encoder_level=self.encoder_level
        )

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps in one iteration."""
        return self.learners * self.envs_per_learner * self.horizon

    @property
    def iterations(self) -> int:
        """Iterations of the whole run, at least one."""
        return max(1, self.total_steps // self.steps_per_iteration)


_COUNTS = (
    "instances total_steps threads learners envs_per_learner horizon epochs minibatches "
    "eval_learners eval_episodes"
)
_POSITIVE = (
    "learning_rate target_learning_rate critic_learning_rate encoder_learning_rate clip "
    "max_grad_norm target_kl initial_inner_learning_rate observation_scale initial_std"
)
_NOT_NEGATIVE = "seed consistency entropy min_std value_weight checkpoint_seconds"
_BOUNDS = (
    *((name, 1, False) for name in _COUNTS.split()),
    *((name, 0, True) for name in _POSITIVE.split()),
    *((name, 0, False) for name in _NOT_NEGATIVE.split()),
)
"""Setting, lowest value, and whether it must be above that."""
