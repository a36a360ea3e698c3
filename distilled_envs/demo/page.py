"""The page in Gradio: what stands where, and which answer belongs to which field and button."""

import contextlib
import importlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distilled_envs.demo.choices import (
    ACTIVATIONS,
    EXPECTED,
    INITIALIZATIONS,
    OWN,
    PRESETS,
    Network,
    expected,
    name_of,
    preset,
)
from distilled_envs.demo.comparison import comparison_page
from distilled_envs.demo.datasets import DEFAULT, about, chosen, names
from distilled_envs.demo.rows import rows_page
from distilled_envs.errors import MissingExtraError, SettingsError

if TYPE_CHECKING:
    from distilled_envs.catalog import Entry

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # Gradio asks and tells nobody
try:
    import gradio as gr
except ImportError:
    raise MissingExtraError("gradio", "The page", "demo") from None

TITLE = "Distilled Envs: one gradient step"
WAITING = "The last click is still at work: wait for its answer, then click again."
_HEAD = """\
# One gradient step

A network that was just drawn knows nothing. Here it takes **one** step of gradient descent on a few
rows that stand for a whole environment, and then plays. Choose what it learns and what it is.
"""
_BUTTONS = {
    "one step": "Take one step",
    "initialize, one step": "Initialize, then one step",
    "fit": "Fit instead (takes seconds)",
}
_CSS = """
.gradio-container {max-width: 1200px !important; margin: 0 auto !important}
.de-drawing {width: 100%; max-width: 560px; height: auto; display: block}
.de-films {display: flex; flex-wrap: wrap; gap: 12px}
.de-films figure {flex: 1 1 260px; margin: 0; min-width: 0}
.de-films video {width: 100%; border: 1px solid var(--border-color-primary); border-radius: 6px}
.de-films figcaption {font-size: 14px}
.de-cards {display: grid; gap: 12px; grid-template-columns: repeat(auto-fill, minmax(280px, 1fr))}
.de-card {border: 1px solid var(--border-color-primary); border-radius: 8px; padding: 10px 12px}
.de-card h4, .de-card p {margin: 2px 0 !important}
.de-card img {width: 100%; image-rendering: auto; border-radius: 4px}
.de-warning {border-left: 4px solid #f59e0b; padding-left: 10px}
.de-good {border-left: 4px solid #10b981; padding-left: 10px}
.de-table {overflow-x: auto; margin: 8px 0 20px}
.de-table :is(table, tr, td, th) {border: 0 !important}
.de-table :is(td, th) {
  padding: 6px 16px 6px 0 !important; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--border-color-primary) !important;
}
.de-table td {white-space: nowrap}
.de-table small {font-weight: normal}
"""


def make_page() -> "gr.Blocks":
    """The page, which ``launch`` of :func:`serve` or of a Space shows."""
    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        gr.Markdown(_HEAD)
        dataset = gr.Dropdown(
            names(),
            value=DEFAULT,
            label="Dataset",
            info="Take one from the list, or type the name of an environment.",
            allow_custom_value=True,
        )
        described = gr.HTML()
        with gr.Tabs():
            with gr.Tab("Try it"), gr.Row():
                with gr.Column(scale=2, min_width=300):
                    fields = _network_fields()
                    diagnosed = gr.HTML(min_height=70)
                    buttons = {
                        way: gr.Button(
                            words, variant="primary" if way == "one step" else "secondary"
                        )
                        for way, words in _BUTTONS.items()
                    }
                with gr.Column(scale=3, min_width=300):
                    places = [gr.HTML(_INVITATION), gr.HTML(), gr.HTML()]
            with gr.Tab("The rows"):
                rows = gr.HTML()
            with gr.Tab("Beside PPO"):
                beside = gr.HTML()
        chosen_preset, *network = fields
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        shown = [described, rows, beside]
        # The browser asks the listeners of an event one after another, and asks all of them again
        # if one was still at work. So none of these waits for another, and the first one leaves
        # alone what is of the new dataset already.
        turns = _Turns()
        changed = quiet | {"trigger_mode": "multiple"}
        dataset.change(_cleared(turns), dataset, places, **changed)
        dataset.change(_fill_kept, [dataset, *fields], network, **changed)
        gr.on([page.load, dataset.change], _describe, dataset, shown, **changed)
        diagnosis: dict[str, Any] = {
            "fn": _diagnose,
            "inputs": [dataset, *network],
            "outputs": diagnosed,
            "concurrency_id": "diagnosis",  # one at a time, so that the last is shown
        }
        gr.on([page.load, dataset.change], **diagnosis, **changed)
        chosen_preset.input(_fill, [dataset, chosen_preset], network, **quiet)
        edited = quiet | {"trigger_mode": "always_last"}
        edits = [each.change for each in network]
        gr.on(edits, _name, [dataset, *network], chosen_preset, **edited)
        gr.on(edits, **diagnosis, **edited)
        for way, button in buttons.items():
            button.click(
                _clicked(turns, way),
                [dataset, *network],
                places,
                trigger_mode="multiple",  # a second click is told of the first
                concurrency_limit=16,
                show_progress="minimal",
                api_visibility="private",
            )
        page.unload(turns.forget)
    page.queue(max_size=64)
    return page


_INVITATION = "<p>Take a step, and see here what ten networks get before and after it.</p>"


def serve(port: int | None = None, *, open_browser: bool = False) -> "gr.Blocks":
    """Show the page on this machine, and return while it is shown.

    Args:
        port: Where; None takes the first free one from 7860.
        open_browser: Whether to show it in the browser.

    Returns:
        The page, with ``local_url``; ``close`` ends it.

    Raises:
        SettingsError: The port is taken, or none.
    """
    if port is not None and not 0 < port < 2**16:
        raise SettingsError(f"A port is a number from 1 to {2**16 - 1}, got {port}.")
    page = make_page()
    try:
        page.launch(server_port=port, inbrowser=open_browser, **LAUNCH)
    except OSError as error:
        if "port" not in str(error):
            raise
        where = "from 7860 to 7959 are all" if port is None else f"{port} is"
        raise SettingsError(f"Port {where} taken: give another --port.") from None
    threading.Thread(target=_warm_up, daemon=True).start()
    return page


LAUNCH: dict[str, Any] = {
    "css": _CSS,
    "theme": gr.themes.Default(
        font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    ).set(
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        block_label_text_color="*neutral_700",
        block_title_text_color="*neutral_800",
    ),
    "footer_links": [],
    "share": False,
    "ssr_mode": False,
    "quiet": True,
    "prevent_thread_lock": True,
}
"""What ``launch`` is told; fonts are those of the visitor's machine."""


@dataclass
class _Turn:
    """A click: of which dataset, and whether it is still at work."""

    dataset: str | None
    at_work: bool = True


class _Turns:
    """The last click of each visitor, whose answer is what the page shows."""

    def __init__(self) -> None:
        self._lock, self._last = threading.Lock(), dict[str | None, _Turn]()

    @contextlib.contextmanager
    def take(self, visitor: str | None, dataset: str | None) -> Iterator[_Turn | None]:
        """A visitor's turn; None while one of the same dataset is at work, another one ends."""
        with self._lock:
            last, turn = self._last.get(visitor), None
            if last is None or not last.at_work or last.dataset != dataset:
                turn = self._last[visitor] = _Turn(dataset)
                if last is not None:
                    last.at_work = False
        try:
            yield turn
        finally:
            if turn is not None:
                turn.at_work = False

    def end(self, visitor: str | None, dataset: str | None) -> bool:
        """End a visitor's turn; False if it is of this dataset, and goes on."""
        with self._lock:
            last = self._last.get(visitor)
            if last is not None:
                if last.dataset == dataset:
                    return False
                last.at_work = False
        return True

    def forget(self, request: gr.Request) -> None:
        """A visitor has left."""
        with self._lock:
            last = self._last.pop(request.session_hash, None)
        if last is not None:
            last.at_work = False


def _network_fields() -> list[Any]:
    return [
        gr.Dropdown([*PRESETS, OWN], value=EXPECTED, label="Network"),
        gr.Textbox(
            label="Hidden layers",
            info="Units of each, such as 64, 64; empty for none.",
            value="64, 64",
            max_length=200,
        ),
        gr.Dropdown([*ACTIVATIONS], value="tanh", label="Activation"),
        gr.Dropdown([*INITIALIZATIONS], value=EXPECTED, label="Initialization"),
    ]


def _answers() -> Any:
    """What needs torch, which a page that is only looked at does not wait for."""
    return importlib.import_module("distilled_envs.demo.answers")


def _warm_up() -> None:
    """Load what the first click would wait for."""
    with contextlib.suppress(Exception):  # whoever clicks is told
        answers = _answers()
        next(answers.play(DEFAULT, expected(chosen(DEFAULT).spec), "one step"))


def _describe(name: str | None) -> list[str]:
    try:
        entry = chosen(name)
    except Exception as error:
        return [_answers().sentence(error), "", ""]
    return [_said(part, entry) for part in (about, rows_page, comparison_page)]


def _said(part: Callable[["Entry"], str], entry: "Entry") -> str:
    try:
        return part(entry)
    except Exception as error:
        return _answers().sentence(error)


def _fill(name: str | None, wanted: str) -> list[Any]:
    """The fields of a preset."""
    if wanted == OWN:
        return [gr.skip()] * 3
    try:
        network = preset(wanted, chosen(name).spec)
    except Exception:  # of which the description tells
        return [gr.skip()] * 3
    return [network.layers, network.activation, network.initialization]


def _name(name: str | None, layers: str, activation: str, initialization: str) -> Any:
    """The preset that the fields are."""
    try:
        return name_of(Network(layers, activation, initialization), chosen(name).spec)
    except Exception:  # of which the diagnosis tells
        return OWN


def _fill_kept(name: str | None, wanted: str, *network: str) -> list[Any]:
    """The fields when another dataset is chosen, which may expect another network."""
    return _fill(name, wanted) if wanted == EXPECTED else [gr.skip()] * 3


def _diagnose(name: str | None, layers: str, activation: str, initialization: str) -> str:
    return _answers().diagnosis(name, Network(layers, activation, initialization))


def _cleared(turns: _Turns) -> Callable[..., list[Any]]:
    """What takes another dataset's answer off the page, in a form whose arguments Gradio reads."""

    def clear(name: str | None, request: gr.Request) -> list[Any]:
        ended = turns.end(request.session_hash, name)
        return [_INVITATION, "", ""] if ended else [gr.skip()] * 3

    return clear


def _clicked(turns: _Turns, way: str) -> Callable[..., Iterator[list[Any]]]:
    """What a button does, in the same form."""

    def play(
        name: str | None, layers: str, activation: str, initialization: str, request: gr.Request
    ) -> Iterator[list[Any]]:
        with turns.take(request.session_hash, name) as turn:
            if turn is None:
                gr.Info(WAITING)
                yield [gr.skip()] * 3
                return
            yield ["<p>At work \u2026</p>", "", ""]
            network = Network(layers, activation, initialization)
            for answer in _answers().play(name, network, way):
                if not turn.at_work:  # another dataset is chosen now
                    break
                yield [answer.said, answer.films, answer.returns]
            yield [gr.skip()] * 3  # Gradio shows what came last once more

    return play
