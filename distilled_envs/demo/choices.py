"""Which network a visitor asks for, from what was typed and chosen, before anything is drawn."""

import itertools
import re
from dataclasses import dataclass

from distilled_envs.errors import SettingsError
from distilled_envs.spec import DistillationSpec, InitializationSpec

MAX_PARAMETERS = 4_000_000
"""Of one network; ten of them are drawn, trained and played with."""
MAX_LAYERS = 20

EXPECTED = "as the dataset expects"
OWN = "your own"
INITIALIZATIONS: dict[str, InitializationSpec | None] = {
    EXPECTED: None,
    "as PyTorch draws it": InitializationSpec("pytorch"),
    "Xavier": InitializationSpec("xavier"),
    "orthogonal, all gains 1": InitializationSpec(hidden_gain=1.0, output_gain=1.0),
}
ACTIVATIONS = {
    "tanh": "Tanh",
    "relu": "ReLU",
    "gelu": "GELU",
    "silu": "SiLU",
    "elu": "ELU",
    "sigmoid": "Sigmoid",
}
"""Modules of ``torch.nn``, by what the page calls them."""

_CONVOLVED = 64 * 7 * 7  # what three convolutions leave of a stack of frames


@dataclass(frozen=True)
class Network:
    """A network as the page has it in its fields.

    Attributes:
        layers: Units of the hidden layers, such as ``"64, 64"``; empty for none.
        activation: A key of :data:`ACTIVATIONS`.
        initialization: A key of :data:`INITIALIZATIONS`.
    """

    layers: str
    activation: str
    initialization: str

    @property
    def sizes(self) -> tuple[int, ...]:
        """Units of the hidden layers.

        Raises:
            SettingsError: What was typed means none.

        >>> Network(" 64,64 ,", "tanh", EXPECTED).sizes, Network("32 x 8", "relu", EXPECTED).sizes
        ((64, 64), (32, 8))
        """
        words = [word for word in re.split(r"(?<=\d)\s*x\s*(?=\d)|[\s,;]+", self.layers) if word]
        for word in words:
            if not re.fullmatch(r"[0-9]{1,12}", word) or int(word) < 1:
                raise SettingsError(
                    f"Layers are whole numbers from 1, such as 64, 64; {word[:20]!r} is none."
                )
        if len(words) > MAX_LAYERS:
            raise SettingsError(
                f"This page draws networks of up to {MAX_LAYERS} hidden layers, not {len(words)}."
            )
        return tuple(map(int, words))

    def check(self, spec: DistillationSpec) -> None:
        """Refuse what is no network, or too large a one, before any memory is taken.

        Raises:
            SettingsError: It is.
        """
        if self.activation not in ACTIVATIONS:
            raise SettingsError(f"Choose an activation: {', '.join(ACTIVATIONS)}.")
        if self.initialization not in INITIALIZATIONS:
            raise SettingsError(f"Choose an initialization: {', '.join(INITIALIZATIONS)}.")
        widths = [inputs(spec), *self.sizes, spec.task.n_outputs]
        count = sum((a + 1) * b for a, b in itertools.pairwise(widths))
        if count > MAX_PARAMETERS:
            raise SettingsError(
                f"This network has {count:,} parameters, and the page draws networks of up to "
                f"{MAX_PARAMETERS:,}: give it fewer or narrower layers."
            )


PRESETS: dict[str, Network | None] = {
    EXPECTED: None,
    "tanh 64, 64, as PyTorch draws it": Network("64, 64", "tanh", "as PyTorch draws it"),
    "ReLU 256, 256, as PyTorch draws it": Network("256, 256", "relu", "as PyTorch draws it"),
    "five tanh layers of 64": Network("64, 64, 64, 64, 64", "tanh", EXPECTED),
    "one wide tanh layer of 1,024": Network("1024", "tanh", EXPECTED),
    "GELU 64, 64": Network("64, 64", "gelu", EXPECTED),
    "no hidden layer": Network("", "tanh", EXPECTED),
}
"""Networks to begin with; None is the one that the dataset was distilled for."""


def preset(name: str, spec: DistillationSpec) -> Network:
    """The network of a preset, for a dataset."""
    chosen = PRESETS.get(name)
    return expected(spec) if chosen is None else chosen


def name_of(network: Network, spec: DistillationSpec) -> str:
    """The preset that a network is, for a dataset, or :data:`OWN`.

    Raises:
        SettingsError: It is no network.
    """
    for name in PRESETS:
        other = preset(name, spec)
        kinds = [(each.activation, each.initialization) for each in (network, other)]
        if network.sizes == other.sizes and kinds[0] == kinds[1]:
            return name
    return OWN


def expected(spec: DistillationSpec) -> Network:
    """The network that a dataset was distilled for; where it has an encoder, what stands behind."""
    layers = ", ".join(map(str, own_sizes(spec)))
    return Network(layers, spec.learner.activation, EXPECTED)


def own_sizes(spec: DistillationSpec) -> tuple[int, ...]:
    """Hidden layers that are a learner's own."""
    sizes, level = spec.learner.hidden_sizes, spec.learner.encoder_level
    if spec.learner.architecture == "mlp":
        return sizes[level:]
    return () if level == 4 else sizes  # three convolutions, and the layer after them


def inputs(spec: DistillationSpec) -> int:
    """Numbers that the first dense layer of a learner's own sees."""
    sizes, level = spec.learner.hidden_sizes, spec.learner.encoder_level
    if spec.learner.architecture == "mlp":
        return sizes[level - 1] if level else spec.task.observation_shape[0]
    return sizes[-1] if level == 4 else _CONVOLVED
