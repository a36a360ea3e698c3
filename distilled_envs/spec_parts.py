"""The parts of a distilled dataset's spec: task, step, learner and transform, each with its bounds.

Bounds stand in the types of fields, and hold for what a file says as for what a program makes.
"""

import itertools
import math
from dataclasses import dataclass, field
from typing import Annotated, Literal

from distilled_envs.records import KEY, Within, check, require

ENCODER_LEVELS = range(5)
LARGEST = 1e9
"""Bound on all numbers that a learner meets: the square of its square is still a float32."""
_LARGEST_SEEN = 1e30
"""Bound on what an environment may show before it is normalized."""
MAX_WIDTH, MAX_DEPTH = 16_384, 64
MAX_BYTES = 256 * 2**20
"""Bound on the memory that a file can ask for: for its rows, its encoder, and one learner each."""
_CONVOLVED = 64 * 7 * 7
"""What three convolutions leave of a stack of frames."""
_Positive = Annotated[float, Within(0, LARGEST, open=True)]
_SIZES = Within(1, 2**20, most=4)
_LOG_STD = Within(-20, 20)


@dataclass(frozen=True)
class TaskSpec:
    """How a learner's outputs become actions.

    Attributes:
        kind: ``"categorical"`` (outputs are logits) or ``"gaussian"`` (outputs are action means).
        observation_shape: Shape of one observation, as learners see it.
        n_outputs: Number of outputs: actions, or action dimensions.
        target_log_std: Log standard deviation of each action dimension; None when categorical.
        choices: Numbers of alternatives, of a categorical action with several parts: each has its
            own logits, in order. None where there is one part, of ``n_outputs`` alternatives.
    """

    kind: Literal["categorical", "gaussian"]
    observation_shape: Annotated[tuple[int, ...], _SIZES]
    n_outputs: Annotated[int, _SIZES]
    target_log_std: Annotated[tuple[float, ...] | None, _LOG_STD] = None
    choices: Annotated[tuple[int, ...] | None, Within(1, 2**20)] = None

    def __post_init__(self) -> None:
        check(self, "task")
        stds = self.target_log_std
        require(
            stds is None or (self.kind == "gaussian" and len(stds) == self.n_outputs),
            "task.target_log_std",
            stds,
        )
        parts = self.choices
        require(
            parts is None or (self.kind == "categorical" and sum(parts) == self.n_outputs),
            "task.choices",
            parts,
        )

    @property
    def scored_by(self) -> Literal["sampled", "greedy"]:
        """In which action mode datasets are compared: choices are sampled, means are taken."""
        return "sampled" if self.kind == "categorical" else "greedy"

    @property
    def parts(self) -> tuple[int, ...]:
        """Numbers of outputs that belong together: of each choice, or of all outputs."""
        return self.choices or (self.n_outputs,)


@dataclass(frozen=True)
class InnerSpec:
    """The learner's one step.

    Attributes:
        learning_rate: Step size of the SGD step, distilled together with the data.
        optimizer: ``"sgd"``.
        loss: ``"mse"``, the mean over rows and outputs.
        steps: 1.
    """

    learning_rate: _Positive
    optimizer: Literal["sgd"] = "sgd"
    loss: Literal["mse"] = "mse"
    steps: Annotated[int, Within(1, 1)] = 1

    def __post_init__(self) -> None:
        check(self, "inner")


@dataclass(frozen=True)
class InitializationSpec:
    """How a learner's weights are drawn.

    Attributes:
        kind: ``"orthogonal"`` (Saxe et al., 2014), biases zero; ``"xavier"`` (uniform; Glorot and
            Bengio, 2010), biases zero; or ``"pytorch"``, the default of ``torch.nn.Linear``.
        hidden_gain: Gain of the hidden layers, if orthogonal.
        output_gain: Gain of the last layer, if orthogonal.
    """

    kind: Literal["orthogonal", "xavier", "pytorch"] = "orthogonal"
    hidden_gain: Annotated[float, Within(0, 1e3)] = math.sqrt(2)
    output_gain: Annotated[float, Within(0, 1e3)] = 0.01

    def __post_init__(self) -> None:
        check(self, "learner.initialisation")


@dataclass(frozen=True)
class LearnerSpec:
    """The network a dataset was distilled for. The default is that of Stable-Baselines3's PPO.

    Attributes:
        architecture: ``"mlp"``, or ``"nature-cnn"``: three convolutions (Mnih et al., 2015) and one
            layer of ``hidden_sizes``.
        hidden_sizes: Units in each hidden layer.
        activation: ``"tanh"`` or ``"relu"``.
        initialization: How its weights are drawn.
        encoder_level: How many of the first layers are shared by all learners and shipped with the
            dataset, of a CNN up to 4, of an MLP all hidden ones; the learner is the rest.
    """

    architecture: Literal["mlp", "nature-cnn"] = "mlp"
    hidden_sizes: Annotated[tuple[int, ...], Within(1, MAX_WIDTH, most=MAX_DEPTH)] = (64, 64)
    activation: Literal["tanh", "relu"] = "tanh"
    initialization: InitializationSpec = field(
        default_factory=InitializationSpec, metadata={KEY: "initialisation"}
    )
    encoder_level: int = 0

    def __post_init__(self) -> None:
        check(self, "learner")
        cnn = self.architecture == "nature-cnn"
        levels = ENCODER_LEVELS if cnn else range(len(self.hidden_sizes) + 1)
        require(self.encoder_level in levels, "learner.encoder_level", self.encoder_level)
        require(not cnn or len(self.hidden_sizes) == 1, "learner.hidden_sizes", self.hidden_sizes)

    def size(self, observation_shape: tuple[int, ...], n_outputs: int) -> int:
        """Bytes of its weights in float32, those of convolutions left out."""
        first = _CONVOLVED if self.architecture == "nature-cnn" else math.prod(observation_shape)
        widths = (first, *self.hidden_sizes, n_outputs)
        return 4 * sum(before * after for before, after in itertools.pairwise(widths))

    @property
    def encoder(self) -> tuple[str, int, tuple[int, ...]]:
        """What its encoder is like: a learner fits behind one for which this is the same."""
        level, convolutions = self.encoder_level, 3 if self.architecture == "nature-cnn" else 0
        return self.architecture, level, self.hidden_sizes[: max(level - convolutions, 0)]


@dataclass(frozen=True)
class ObservationTransform:
    """The fixed transform ``scale * clip((observation[coordinates] - mean) / std, -clip, clip)``.

    Attributes:
        mean: One number for each coordinate that is shown.
        std: One positive number for each.
        scale: Factor after clipping.
        clip: Bound, in standard deviations.
        coordinates: Which of the real observation's coordinates are shown; None shows all.
    """

    mean: Annotated[tuple[float, ...], Within(-_LARGEST_SEEN, _LARGEST_SEEN)]
    std: Annotated[tuple[float, ...], Within(0, _LARGEST_SEEN, open=True)]
    scale: _Positive = 1.0
    clip: _Positive = 10.0
    coordinates: Annotated[tuple[int, ...] | None, Within(0, 2**20)] = None

    def __post_init__(self) -> None:
        check(self, "observation_transform")
        require(len(self.mean) == len(self.std), "observation_transform.std", self.std)
        shown = self.coordinates
        require(
            shown is None or len(set(shown)) == len(self.mean) == len(shown) > 0,
            "observation_transform.coordinates",
            shown,
        )
