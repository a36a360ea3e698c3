"""Drawing the axes of a ``CartPoleND-v0``, each in a panel of its own."""

import math
from typing import Any

import numpy as np
from gymnasium.error import DependencyNotInstalled

TRACK = 4.8  # meters from edge to edge of a panel: the cart's limits
POLE = 1.0  # meters
PANEL_WIDTH, PANEL_HEIGHT = 360, 240  # pixels


class Painter:
    """Draws the axes of one environment with pygame, which is imported at the first frame."""

    def __init__(self) -> None:
        self._window: Any = None
        self._clock: Any = None

    def frame(self, state: np.ndarray, force: np.ndarray) -> np.ndarray:
        """The frame ``(height, width, 3)``, uint8.

        Args:
            state: ``(4, dims)``: x, x_dot, theta, theta_dot of every axis.
            force: ``(dims,)``, newton; drawn as an arrow at the cart that is pushed.
        """
        return np.transpose(_pygame().surfarray.array3d(self._draw(state, force)), (1, 0, 2))

    def show(self, state: np.ndarray, force: np.ndarray, fps: int) -> None:
        """Show the frame in a window, which opens at the first one."""
        pygame = _pygame()
        surface = self._draw(state, force)
        if self._window is None:
            pygame.display.init()
            self._window = pygame.display.set_mode(surface.get_size())
            pygame.display.set_caption("CartPoleND-v0")
            self._clock = pygame.time.Clock()
        self._window.blit(surface, (0, 0))
        pygame.event.pump()
        self._clock.tick(fps)
        pygame.display.flip()

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window is not None:
            _pygame().display.quit()
            self._window = self._clock = None

    def _draw(self, state: np.ndarray, force: np.ndarray) -> Any:
        pygame = _pygame()
        dims = state.shape[1]
        columns = math.ceil(math.sqrt(dims))
        rows = math.ceil(dims / columns)
        surface = pygame.Surface((columns * PANEL_WIDTH, rows * PANEL_HEIGHT))
        surface.fill((255, 255, 255))
        for axis in range(dims):
            row, column = divmod(axis, columns)
            corner = (column * PANEL_WIDTH, row * PANEL_HEIGHT)
            self._draw_axis(surface, corner, state[0, axis], state[2, axis], force[axis])
        return surface

    def _draw_axis(
        self, surface: Any, corner: tuple[int, int], x: float, theta: float, force: float
    ) -> None:
        pygame = _pygame()
        scale = PANEL_WIDTH / TRACK  # pixels per meter: the limits are the panel's edges
        left, track = corner[0], corner[1] + int(0.8 * PANEL_HEIGHT)
        panel = pygame.Rect(*corner, PANEL_WIDTH, PANEL_HEIGHT)
        surface.set_clip(panel)
        pygame.draw.rect(surface, (225, 225, 225), panel, 1)
        pygame.draw.line(surface, (0, 0, 0), (left, track), (left + PANEL_WIDTH, track))
        cart = pygame.Rect(0, 0, 40, 22)
        cart.center = (round(left + PANEL_WIDTH / 2 + x * scale), track)
        pygame.draw.rect(surface, (0, 0, 0), cart, border_radius=3)
        if force:
            tip = cart.centerx + math.copysign(48, force)
            base = cart.centerx + math.copysign(28, force)
            points = [(tip, track), (base, track - 8), (base, track + 8)]
            pygame.draw.polygon(surface, (200, 60, 50), points)
        length = POLE * scale
        end = (
            cart.centerx + length * math.sin(theta),
            cart.centery - 5 - length * math.cos(theta),
        )
        pygame.draw.line(surface, (202, 152, 101), (cart.centerx, cart.centery - 5), end, 7)
        pygame.draw.circle(surface, (129, 132, 203), (cart.centerx, cart.centery - 5), 4)
        surface.set_clip(None)


def _pygame() -> Any:
    try:
        import pygame
    except ImportError as error:
        raise DependencyNotInstalled(
            'Rendering needs pygame: run `pip install "distilled-envs[render]"`.'
        ) from error
    return pygame
