"""How much is learned in a round of imitation: of vectors, and of frames behind an encoder."""

from dataclasses import dataclass

LEARNERS = 4
"""Fresh learners in one gradient step, and of which the mean is taken."""


@dataclass(frozen=True)
class Effort:
    """What one round takes.

    Attributes:
        steps: Of gradient descent.
        states: In each of them.
        encoder_rate: Adam's learning rate of an encoder, which falls linearly to a hundredth.
        rows_rate: That of rows and inner learning rate.
        targets_rate: That of targets, as a share of their standard deviation when a round starts.
        warm: Steps in which the rates rise at first. Without them Adam's first steps, as large as
            all others, undo a good start.
        learners: Fresh ones in one step.
        drawn_every: Steps for which they stay the same, before others are drawn.
        sharper: Factors on targets that are tried in play.
        newest: Share of the states that are of the last play, and not of all.
    """

    steps: int
    states: int
    encoder_rate: float
    rows_rate: float
    targets_rate: float
    warm: int = 0
    learners: int = LEARNERS
    drawn_every: int = 1
    sharper: tuple[float, ...] = (1.0,)
    newest: float = 0.0


VECTORS = Effort(1_500, 512, 1e-3, 1e-2, 1e-2)
FRAMES = Effort(1_000, 256, 1e-3, 3e-3, 3e-3)
"""One thread takes 1,700 frames a second through the Nature CNN, forward and backward."""
KNOWN = Effort(500, 256, 3e-4, 3e-3, 3e-4, warm=50)
"""Where the encoder starts as all of the teacher's layers but the last."""
BELOW = Effort(
    steps=1_000,
    states=128,
    encoder_rate=1e-3,
    rows_rate=1e-4,
    targets_rate=7e-3,
    warm=20,
    learners=2,
    drawn_every=4,
    sharper=(1.0, 2.0, 4.0),
    newest=0.5,
)
"""Where it starts as the first of them, and hidden layers are fresh. On Pong, level 3, 300 steps
bring the divergence from 0.55 to 0.25 with two learners and with four, and two drawn every fourth
step take half of the time: to draw a layer of 512 takes as long as half a step of one. Learners
that miss much are unsure, and play by chance what they would choose rightly: after 6,200 steps and
four rounds they get -0.4 as they are, 11.0 with targets 1.5 times as large, and 11.6 with 4 times.
"""
