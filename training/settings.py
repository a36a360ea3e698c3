"""Every setting of a distillation, and the presets that make the shipped datasets."""

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Any

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
    """Whether all learning rates fall linearly to 0 over the run."""
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
    rewards, less and less until the end; the run's encoder starts with the layers of its own."""
    guide_share: float = 0.0
    """Share of the run, from its start, that is led by a guide: a network that is trained by
    ordinary PPO, and which learners follow. The return that a run shows is that of who leads."""
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
        if self.guide_share and (self.teacher is not None or self.constant_start):
            raise SettingsError(
                "With a guide_share learners follow a guide from the start: leave out teacher and "
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

CARTPOLE_STEPS = {
    1: 6_000_000,
    2: 3_000_000,
    3: 5_000_000,
    4: 6_000_000,
    5: 6_000_000,
    6: 10_000_000,
    8: 15_000_000,
    10: 20_000_000,
}
"""Environment steps of a cart-pole run, by number of axes."""


def dataset_name(
    env_id: str, instances: int, dims: int | None = None, encoder_level: int | None = None
) -> str:
    """The name ``<family>-<variant>`` of a dataset."""
    if dims is not None:
        return f"cartpole-nd-{dims}d-{'min' if instances == dims + 1 else instances}"
    family = re.sub(r"-v[0-9]+$", "", re.split("[/:]", env_id)[-1]).lower()
    return f"{family}-{instances if encoder_level is None else f'level{encoder_level}'}"


def _cartpole(dims: int, minimum: bool) -> Settings:
    instances = dims + 1 if minimum else 64
    return Settings(
        name=dataset_name("CartPoleND-v0", instances, dims),
        env_id="CartPoleND-v0",
        dims=dims,
        instances=instances,
        total_steps=CARTPOLE_STEPS[dims],
        # On one axis learning lingers near 250, where the pole stands and the cart drifts off the
        # track, unless credit reaches back over the drift. More axes fall long before.
        **({"learning_rate": 2e-2, "discount": 0.995, "gae_lambda": 0.98} if dims == 1 else {}),
        # With rows to spare the consistency term costs nothing, and training to convergence on
        # them works. At minimum size the rows can't pin the policy down, and a large weight stalls
        # learning from 6 axes on.
        consistency=0.1 if minimum else 1.0,
    )


def for_environment(env_id: str) -> Settings:
    """Settings for any Gymnasium environment, untuned: 64 rows, everything normalised."""
    if env_id.startswith("ALE/"):
        return _atari(env_id, 4, 4)
    return Settings(
        name=dataset_name(env_id, 64),
        env_id=env_id,
        instances=64,
        total_steps=3_000_000,
        learners=16,
        learning_rate=3e-3,
        epochs=10,
        target_kl=0.03,
        consistency=0.0,
        observation_scale=0.2,
        normalise_rewards=True,
        eval_episodes=1,
    )


CARTPOLE = tuple(_cartpole(dims, minimum) for dims in CARTPOLE_STEPS for minimum in (True, False))


_JOINTS = {"Ant": 27, "Humanoid": 45, "HumanoidStandup": 45}
"""Coordinates of joints' positions and velocities, which come first. Inertias and forces follow,
more than the network is wide: each network would see another projection of them."""


def _mujoco(name: str, **changes: Any) -> Settings:
    if name in _JOINTS:
        changes["coordinates"] = tuple(range(_JOINTS[name]))
    return dataclasses.replace(for_environment(f"{name}-v5"), **changes)


MUJOCO = (
    _mujoco("Ant", total_steps=1_000_000, learning_rate=1e-2),
    # After wild first actions it learns to hobble, leaning by 40 degrees, and stays near 2,000.
    _mujoco(
        "HalfCheetah",
        total_steps=5_000_000,
        learning_rate=1e-2,
        discount=0.98,
        gae_lambda=0.92,
        target_kl=0.05,
        initial_std=0.15,
    ),
    _mujoco("Hopper", total_steps=3_000_000, learning_rate=1e-2),
    _mujoco("Humanoid", total_steps=2_500_000, learning_rate=1e-2, target_kl=0.05),
    _mujoco("HumanoidStandup", total_steps=1_000_000, learning_rate=1e-2),
    # Returns fall again after they have reached the top, so the run ends there.
    _mujoco("InvertedDoublePendulum", total_steps=800_000, learning_rate=1e-3),
    _mujoco("InvertedPendulum", total_steps=600_000),
    _mujoco("Pusher", total_steps=800_000, learning_rate=1e-2, discount=0.95, horizon=50),
    _mujoco(
        "Reacher",
        total_steps=1_000_000,
        learning_rate=1e-2,
        discount=0.9,
        horizon=50,
        min_std=0.1,
    ),
    # A stroke takes long to pay: short-sighted learners stay at 30.
    _mujoco(
        "Swimmer",
        total_steps=1_000_000,
        learning_rate=1e-2,
        discount=0.9999,
        gae_lambda=0.98,
        horizon=256,
        envs_per_learner=2,
    ),
    _mujoco("Walker2d", total_steps=2_500_000, min_std=0.2),
)


def _atari(
    env_id: str, instances: int, encoder_level: int, inner_rate: float = 0.03, **changes: Any
) -> Settings:
    settings = Settings(
        name=dataset_name(env_id, instances, encoder_level=encoder_level),
        env_id=env_id,
        instances=instances,
        total_steps=3_000_000,
        hidden_sizes=(512,),
        encoder_level=encoder_level,
        guide_share=0.85,
        learners=8,
        envs_per_learner=2,
        horizon=128,
        epochs=4,
        learning_rate=1e-3,
        target_learning_rate=3e-3,
        encoder_learning_rate=2.5e-4,
        critic_learning_rate=2.5e-4,
        clip=0.1,
        value_weight=0.5,
        entropy=0.01,
        consistency=0.0,
        # The inner loss is a mean over rows and actions, and its gradient as much smaller.
        initial_inner_learning_rate=inner_rate,
        reward_sign=True,
        end_at_lost_life=True,
        eval_learners=32,
        eval_episodes=1,
    )
    return dataclasses.replace(settings, **changes)


_SCORES = {"reward_sign": False, "normalise_rewards": True}
"""For games whose rewards differ by a factor of hundreds, so that their signs tell little (van
Hasselt et al., "Learning values across many orders of magnitude", 2016)."""

_ALONE = {
    "guide_share": 0.0,
    "epochs": 2,
    "learning_rate": 3e-4,
    "target_learning_rate": 1e-3,
    "encoder_learning_rate": 1e-4,
}
"""Without a guide; what rewards say through a learner's step is noisier, and rates are smaller."""

_CENTIPEDE = {
    **_SCORES,
    **_ALONE,
    "constant_start": True,
    "total_steps": 800_000,
    "learning_rate": 1e-4,
    "target_learning_rate": 2e-3,
    "envs_per_learner": 4,
    "horizon": 256,
    "epochs": 1,
    "value_weight": 0.1,
    "entropy": 0.0,
}

_MSPACMAN = {
    **_SCORES,
    **_ALONE,
    "total_steps": 3_400_000,
    "envs_per_learner": 4,
    # Advantages of many steps ahead are noise to it, and those by the critic are not.
    "gae_lambda": 0.8,
}

_TAUGHT = {
    **_ALONE,
    "teacher": "pong-level4",
    "total_steps": 400_000,
    "learners": 4,  # the step of a layer of 3,136 x 512 takes as long as 32 frames of a learner
    "envs_per_learner": 4,
    "target_learning_rate": 3e-3,
}

ATARI = (
    *(_atari("ALE/Pong-v5", 4, level, 0.1, **_TAUGHT) for level in range(4)),
    _atari("ALE/Pong-v5", 4, 4),
    _atari("ALE/Centipede-v5", 10, 4, 0.25, **_CENTIPEDE),
    _atari("ALE/Centipede-v5", 10, 0, 10.0, **_CENTIPEDE | {"total_steps": 200_000}),
    _atari("ALE/SpaceInvaders-v5", 4, 4, total_steps=1_200_000),
    _atari("ALE/MsPacman-v5", 6, 4, 0.07, **_MSPACMAN),
    _atari("ALE/Breakout-v5", 4, 4, total_steps=1_200_000),
)

PRESETS: dict[str, Settings] = {
    settings.name: settings for settings in (*CARTPOLE, *MUJOCO, *ATARI)
}
"""Settings by dataset name: N-dimensional cart-pole at the paper's minimum size (N + 1 rows) and at
64 rows, MuJoCo at 64 rows, and Atari games at the paper's number of rows."""
