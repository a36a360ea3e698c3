"""The physics of one cart-pole, of any number of them at once."""

import math

import numpy as np

# The constants of Gymnasium's CartPole-v1.
GRAVITY = 9.8
MASS_POLE = 0.1
TOTAL_MASS = 1.0 + MASS_POLE
HALF_LENGTH = 0.5
POLE_MASS_LENGTH = MASS_POLE * HALF_LENGTH
FORCE = 10.0
TAU = 0.02
THETA_LIMIT = 12 * 2 * math.pi / 360
X_LIMIT = 2.4


def physics_step(state: np.ndarray, force: np.ndarray) -> np.ndarray:
    """One Euler step of every cart-pole.

    Args:
        state: x, x_dot, theta, theta_dot along the first dimension, shape ``(4, ...)``.
        force: Newton on each cart, shape ``(...)``.

    Returns:
        The state 0.02 s later, a new array of the same shape.
    """
    theta, theta_dot = state[2], state[3]
    change = np.empty_like(state)
    cos, sin = np.cos(theta), np.sin(theta)
    # https://coneural.org/florian/papers/05_cart_pole.pdf
    # theta_acc = (GRAVITY * sin - cos * push) / inertia
    # x_acc = push - POLE_MASS_LENGTH * theta_acc * cos / TOTAL_MASS
    push = np.square(theta_dot)
    push *= POLE_MASS_LENGTH
    push *= sin
    push += force
    push /= TOTAL_MASS
    inertia = np.square(cos)
    inertia *= MASS_POLE
    inertia /= TOTAL_MASS
    np.subtract(4.0 / 3.0, inertia, out=inertia)
    inertia *= HALF_LENGTH
    sin *= GRAVITY
    sin -= cos * push
    theta_acc = np.divide(sin, inertia, out=change[3])
    cos *= POLE_MASS_LENGTH * theta_acc
    cos /= TOTAL_MASS
    np.subtract(push, cos, out=change[1])
    change[::2] = state[1::2]
    change *= TAU
    change += state
    return change


def has_failed(state: np.ndarray) -> np.ndarray:
    """Whether any axis has left its limits: ``(4, dims, ...)`` to ``(...)``."""
    return ((np.abs(state[0]) > X_LIMIT) | (np.abs(state[2]) > THETA_LIMIT)).any(axis=0)
