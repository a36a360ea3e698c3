"""What a distilled dataset says of itself: the typed form of ``distillation.json``.

The format is version 1. Unknown keys are kept under ``extra`` and written back, so that an older
package does not lose what a newer one wrote; a newer format version is refused by name.
"""

import dataclasses
import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from gymnasium.envs.registration import EnvSpec

from distilled_envs.errors import DatasetError
from distilled_envs.formatting import in_a_line
from distilled_envs.records import KEY, build, number, read_object, renamed, require, to_record
from distilled_envs.spaces import EnvSpaces
from distilled_envs.spec_parts import (
    ENCODER_LEVELS,
    LARGEST,
    MAX_BYTES,
    MAX_DEPTH,
    MAX_WIDTH,
    InitializationSpec,
    InnerSpec,
    LearnerSpec,
    ObservationTransform,
    TaskSpec,
)

__all__ = [
    "ENCODER_LEVELS",
    "FORMAT_VERSION",
    "FRAMES",
    "LARGEST",
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_WIDTH",
    "DistillationSpec",
    "InitializationSpec",
    "InnerSpec",
    "LearnerSpec",
    "ObservationTransform",
    "Preprocessing",
    "TaskSpec",
    "family_of",
]

FORMAT_VERSION = 1
FRAMES = (4, 84, 84)
"""Shape of an observation of a game: a stack of frames, their height and width in pixels."""
Preprocessing = Literal["atari", "frames", "flatten"]
"""What stands between an environment and its learners; see :mod:`.envs.preprocessing`."""


def family_of(env_id: str) -> str:
    """The family of an environment's datasets.

    >>> family_of("my_envs:PointMass-v0"), family_of("CartPoleND-v0")
    ('pointmass', 'cartpole-nd')
    >>> family_of("ALE/Breakout-v5"), family_of("MinAtar/Breakout-v1")
    ('breakout', 'minatar-breakout')
    """
    name = env_id.rpartition(":")[2].removeprefix("ALE/").replace("/", "-")
    plain = re.sub(r"-v[0-9]+$", "", name).lower()
    return {"cartpolend": "cartpole-nd"}.get(plain, plain)


ONE_ACTION = 0.95
"""Share of steps from which a policy counts as one action, whatever it sees."""


@dataclass(frozen=True)
class DistillationSpec:
    """Everything a distilled dataset knows beside its rows.

    Attributes:
        name: ``<family>-<variant>``, e.g. ``"cartpole-nd-2d-min"``.
        env: The real environment; ``gym.make(spec.env)`` builds it.
        env_module: The module that registers it, where one has to be imported; never by itself.
        task: How outputs become actions.
        inner: The one gradient step.
        learner: The network it was distilled for; of several families that of the first.
        families: Names of the families of networks it was distilled for, where there are several;
            see :data:`~distilled_envs.learners.families.FAMILIES`.
        observation_transform: What learners see of the real observation; None: all of it, as is.
        spaces: Those of the environment, under the transform; None where a file lacks them, and
            then only the environment itself has them.
        preprocessing: What stands between the environment and learners, of
            :mod:`distilled_envs.envs.preprocessing`; None: nothing.
        provenance: Algorithm, settings, seed, env steps, wall seconds, versions, command.
        evaluation: Protocol and results of fresh learners, and of other ways to train on the rows.
        files: sha256 of each file beside ``distillation.json``, in hexadecimal.
        format_version: Version of this format.
        extra: Keys of the file that this version does not know; those inside ``task``, ``inner``,
            ``learner``, ``observation_transform`` and ``spaces`` under that name.
    """

    name: str
    env: EnvSpec
    task: TaskSpec
    inner: InnerSpec
    learner: LearnerSpec = field(default_factory=LearnerSpec)
    families: tuple[str, ...] = ()
    observation_transform: ObservationTransform | None = None
    spaces: EnvSpaces | None = None
    preprocessing: Preprocessing | None = None
    env_module: str | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = (None, *get_args(Preprocessing))
        require(self.preprocessing in known, "preprocessing", self.preprocessing)
        is_game = self.preprocessing == "atari"
        require(is_game == self.env.id.startswith("ALE/"), "preprocessing", self.preprocessing)
        kind = self.learner.architecture
        require(self.has_frames == (kind == "nature-cnn"), "learner.architecture", kind)
        shape = self.task.observation_shape
        fits = shape == FRAMES if self.has_frames else len(shape) == 1
        require(fits, "task.observation_shape", shape)
        needed = self.learner.size(shape, self.task.n_outputs)
        if needed > MAX_BYTES:
            raise DatasetError(
                f"distillation.json: learner.hidden_sizes make a learner of "
                f"{needed / 2**20:.0f} MiB, and the limit is {MAX_BYTES / 2**20:.0f} MiB."
            )

    @property
    def has_frames(self) -> bool:
        """Whether learners see stacks of frames, and not vectors."""
        return self.preprocessing in ("atari", "frames")

    @property
    def shown_by(self) -> Literal["sampled", "greedy"]:
        """The action mode that people watch: likeliest actions, of choices at frames sampled ones.

        Without chance a game may stand still for ever: in Breakout nobody fires the next ball.
        """
        return "sampled" if self.has_frames and self.task.kind == "categorical" else "greedy"

    @property
    def is_for_relu(self) -> bool:
        """Whether learners are whole networks of ReLU, whose one step is no linear map."""
        learner, mixed = self.learner, len(self.families) > 1
        plain = not (self.has_frames or learner.encoder_level or mixed)
        return plain and learner.activation == "relu"

    @property
    def one_action(self) -> tuple[int, float] | None:
        """The action that is the likeliest in nearly all steps, and its share, where one is."""
        shares = self.evaluation.get("one_step", {}).get("actions", [])
        share = max(shares, default=0.0)
        return (shares.index(share), share) if share >= ONE_ACTION else None

    @property
    def family(self) -> str:
        """Which environment it stands for; a Hub repo ``distilled-<family>`` holds its variants."""
        return family_of(self.env.id)

    @property
    def variant(self) -> str:
        """Which of the family's datasets it is."""
        return self.name.removeprefix(f"{self.family}-")

    def replace(self, **changes: Any) -> "DistillationSpec":
        """A copy with other values."""
        return dataclasses.replace(self, **changes)

    def to_json(self) -> str:
        """The text of ``distillation.json``."""
        record = {key: getattr(self, key) for key in ("format_version", "name")} | {
            "env": renamed(json.loads(self.env.to_json()), _HOME, _HOME_IN_FILES)
        }
        for part in ("task", "inner", "learner", "observation_transform"):
            value = getattr(self, part)
            nested = self.extra.get(part, {})
            record[part] = value if value is None else to_record(value) | nested
        if self.spaces is not None:
            record["spaces"] = self.spaces.to_record() | self.extra.get("spaces", {})
        if self.families:
            record["families"] = self.families
        for part in ("preprocessing", "env_module", "provenance", "evaluation", "files"):
            record[part] = getattr(self, part)
        unknown = {key: value for key, value in self.extra.items() if key not in record}
        return json.dumps(record | unknown, indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "DistillationSpec":
        """Read the text of ``distillation.json``.

        Raises:
            DatasetError: The text is not JSON, of a newer version, or a value is missing or wrong.
        """
        record = read_object(text)
        version = record.pop("format_version", None)
        if version != FORMAT_VERSION:
            raise DatasetError(
                f"distillation.json has format version {version!r}, and this package reads "
                f"version {FORMAT_VERSION}: upgrade with `pip install -U distilled-envs`."
            )
        known = {f.name for f in dataclasses.fields(cls)} - {"format_version", "extra"}
        values = {key: record.pop(key) for key in known & record.keys()}
        for key in ("name", "env", "task", "inner", "learner", "files"):
            if key not in values:
                raise DatasetError(f"distillation.json lacks {key!r}.")
        try:
            values["env"] = EnvSpec.from_json(
                json.dumps(renamed(values["env"], _HOME_IN_FILES, _HOME))
            )
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise DatasetError(
                f"distillation.json: env is not an EnvSpec: {in_a_line(error)}."
            ) from None
        _check_env(values["env"])
        parts = {
            "task": TaskSpec,
            "inner": InnerSpec,
            "learner": LearnerSpec,
            "observation_transform": ObservationTransform,
        }
        for part, kind in parts.items():
            nested: Any = values.get(part)
            if nested is None and part == "observation_transform":
                continue
            values[part] = build(kind, nested, part)
            known_keys = {f.metadata.get(KEY, f.name) for f in dataclasses.fields(kind)}
            unknown = {key: value for key, value in nested.items() if key not in known_keys}
            if unknown:
                record[part] = unknown
        spaces, task = values.get("spaces"), values["task"]
        if spaces is not None:
            try:
                values["spaces"] = EnvSpaces.from_record(
                    spaces, task.kind, task.observation_shape, task.n_outputs, task.choices
                )
            except ValueError as error:
                raise DatasetError(f"distillation.json: {error}.") from None
            unknown = {key: spaces[key] for key in spaces.keys() - {"observation", "action"}}
            if unknown:
                record["spaces"] = unknown
        for key in ("provenance", "evaluation", "files"):
            require(isinstance(values.get(key, {}), dict), key, values.get(key))
        families = values.get("families", [])
        named = isinstance(families, list) and all(isinstance(each, str) for each in families)
        require(named, "families", families)
        values["families"] = tuple(families)
        name, module = values["name"], values.get("env_module")
        require(isinstance(name, str) and name.isprintable(), "name", name)
        require(module is None or isinstance(module, str), "env_module", module)
        for training, result in values.get("evaluation", {}).items():
            require(isinstance(result, dict), f"evaluation.{training}", result)
            shares = result.get("actions", [])
            require(isinstance(shares, list), f"evaluation.{training}.actions", shares)
            for share in shares:
                number(share, float, f"evaluation.{training}.actions")
            for mode in {"sampled", "greedy"} & result.keys():
                path, score = f"evaluation.{training}.{mode}", result[mode]
                require(isinstance(score, dict), path, score)
                for part in ("mean", "std"):
                    number(score.get(part), float, f"{path}.{part}")
        return cls(**values, extra=record)


def _check_env(env: EnvSpec) -> None:
    """Refuse an environment's spec of which a value is of another type.

    Raises:
        DatasetError: One is.
    """
    threshold, limit = env.reward_threshold, env.max_episode_steps
    require(isinstance(env.kwargs, dict), "env.kwargs", env.kwargs)
    dims = env.kwargs.get("dims")
    require(dims is None or type(dims) is int, "env.kwargs.dims", dims)
    if threshold is not None:
        number(threshold, float, "env.reward_threshold")
    limited = limit is None or (type(limit) is int and (limit == -1 or limit >= 1))
    require(limited, "env.max_episode_steps", limit)
    for part in ("nondeterministic", "order_enforce", "disable_env_checker"):
        flag = getattr(env, part)
        require(flag is None or type(flag) is bool, f"env.{part}", flag)
    for part in ("entry_point", "vector_entry_point"):
        home = getattr(env, part)
        require(home is None or isinstance(home, str), f"env.{part}", home)


_HOME, _HOME_IN_FILES = "distilled_envs.envs.cartpole_nd:", "distilled_envs.cartpole_nd:"
"""The module of cart-pole here, and its name in files, which every version of the package knows."""
