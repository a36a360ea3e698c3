"""Drawing the axes of a ``CartPoleND-v0``, each in a panel of its own."""

import math
from typing import Any

import numpy as np
from gymnasium.error import DependencyNotInstalled

from distilled_envs.installation import install_command

TRACK = 4.8  # meters between the cart's limits
POLE = 1.0  # meters
PANEL_WIDTH, PANEL_HEIGHT = 360, 240  # pixels; where a row has fewer, they are wider


class Painter:
    """Draws the axes of one environment with pygame, which is imported at the first frame."""

    def __init__(self) -> None:
        self._window: Any = None
        self._font: Any = None
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
        # Rows of as many panels as possible, the fuller ones first, each as wide as the picture.
        rows = np.array_split(np.arange(state.shape[1]), math.isqrt(state.shape[1]))
        width = len(rows[0]) * PANEL_WIDTH
        surface = pygame.Surface((width, len(rows) * PANEL_HEIGHT))
        surface.fill((255, 255, 255))
        for row, axes in enumerate(rows):
            edges = np.linspace(0, width, len(axes) + 1).astype(int)
            for axis, left, right in zip(axes, edges, edges[1:], strict=False):
                panel = pygame.Rect(left, row * PANEL_HEIGHT, right - left, PANEL_HEIGHT)
                self._draw_axis(surface, panel, axis, state[:, axis], force[axis])
        return surface

    def _draw_axis(
        self, surface: Any, panel: Any, axis: int, state: np.ndarray, force: float
    ) -> None:
        pygame = _pygame()
        x, _, theta, _ = state
        scale = PANEL_WIDTH / TRACK  # pixels per meter
        track = panel.top + int(0.8 * PANEL_HEIGHT)
        half = PANEL_WIDTH // 2 - 1  # pixels from the middle to the cart's limits
        surface.set_clip(panel)
        pygame.draw.rect(surface, (225, 225, 225), panel, 1)
        pygame.draw.line(
            surface, (0, 0, 0), (panel.centerx - half, track), (panel.centerx + half, track)
        )
        for limit in (panel.centerx - half, panel.centerx + half):
            pygame.draw.line(surface, (150, 150, 150), (limit, track - 12), (limit, track + 12), 2)
        self._write(surface, f"axis {axis + 1}", (panel.left + 10, panel.top + 8))
        angle = math.degrees(theta)
        at = f"cart {round(x, 1) + 0.0:+.1f} m, pole {round(angle) + 0:+d}°"
        self._write(surface, at, (panel.centerx, panel.bottom - 24), centered=True)
        cart = pygame.Rect(0, 0, 40, 22)
        cart.center = (round(panel.centerx + x * scale), track)
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

    def _write(
        self, surface: Any, text: str, place: tuple[int, int], centered: bool = False
    ) -> None:
        """Words at the upper left corner, or the upper middle, of their place."""
        if self._font is None:
            pygame = _pygame()
            pygame.font.init()
            self._font = pygame.font.Font(None, 22)
        words = self._font.render(text, True, (70, 70, 70))
        left, top = place
        surface.blit(words, (left - words.get_width() // 2 if centered else left, top))


def _pygame() -> Any:
    try:
        import pygame
    except ImportError as error:
        raise DependencyNotInstalled(
            f"Rendering needs pygame: run `{install_command('render')}`."
        ) from error
    return pygame
