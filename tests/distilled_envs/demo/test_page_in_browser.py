"""The page in a real browser: each tab, bad input, two clicks at once, two widths.

Screenshots lie in build/screenshots after a run.
"""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("gradio")
playwright = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.slow

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"),
    *("--disable-component-update", "--disable-sync"),
)
SCREENSHOTS = Path(__file__).parents[3] / "build" / "screenshots"
SHORT, LONG = 30_000, 180_000  # ms; machines of tests are busy

# Core and the extra alone; whatever the server asks another machine for ends it.
SERVER = """
import sys
for name in ("matplotlib", "mujoco", "ale_py", "cv2", "stable_baselines3", "sb3_contrib", "cma",
             "envpool", "tensorboard", "datasets", "minatar", "gymnasium_robotics"):
    sys.modules[name] = None

def audit(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        if arguments[1][0] not in ("127.0.0.1", "::1", "localhost"):
            print("CONNECTED TO", arguments[1], flush=True)

sys.addaudithook(audit)
from distilled_envs.cli import main
sys.exit(main(["demo"]))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The page's address, and what the server prints."""
    log = tmp_path_factory.mktemp("demo") / "log"
    with open(log, "w") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdout=file, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + LONG / 1000
        while not (found := re.search(r"http://\S+", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield found[0], log
        assert "CONNECTED TO" not in log.read_text()
        assert "Traceback" not in log.read_text()
        process.send_signal(2)
        assert process.wait(120) == 0
        assert log.read_text().strip().count("\n") == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}: install Debian's chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
        yield browser
        browser.close()


@pytest.fixture(params=[1280, 390])
def page(request, browser, server):
    """The loaded page; nothing may leave this machine, or be told to the console as an error."""
    page = browser.new_page(viewport={"width": request.param, "height": 900})
    errors, strangers = [], []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: said.type == "error" and errors.append(said.text))
    home = ("data:", "blob:", server[0])
    page.on("request", lambda r: r.url.startswith(home) or strangers.append(r.url))
    page.goto(server[0])
    page.get_by_text("learns from one step").wait_for(timeout=LONG)
    yield page
    assert (errors, strangers) == ([], [])
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= page.viewport_size["width"], "something is cut at the right"
    page.close()


def keep(page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    width = page.viewport_size["width"]
    page.screenshot(path=SCREENSHOTS / f"{name}-{width}.png", full_page=True)


def field_of(page, label: str):
    """A field; what stands below a text's label is part of its name."""
    return page.get_by_label(label, exact=label != "Hidden layers")


def fill(page, label: str, words: str) -> None:
    field = field_of(page, label)
    field.click()
    field.fill("")
    field.press_sequentially(words)
    if words:
        field.press("Enter")
    else:  # a list whose field is empty stays open after Tab
        page.get_by_role("heading", name="One gradient step").click()


def see(page, words: str, timeout: int = SHORT) -> None:
    try:
        page.get_by_text(words).first.wait_for(timeout=timeout)
    except playwright.TimeoutError:
        keep(page, "failed")
        pytest.fail(f"{words!r} is not there after {timeout} ms:\n{page.inner_text('body')}")


def click(page, words: str) -> None:
    page.get_by_role("button", name=words).click()


def test_a_step_is_taken_and_each_tab_shows_something(page):
    assert page.title() == "Distilled Envs: one gradient step"
    for label in ("Dataset", "Network", "Hidden layers", "Activation", "Initialization"):
        assert field_of(page, label).is_visible(), label
    keep(page, "1-loaded")
    start = time.monotonic()
    click(page, "Take one step")
    see(page, "loss on the rows goes from")
    taken = time.monotonic() - start
    print(f"a step is answered after {taken:.2f} s")
    see(page, "500.0 after", LONG)
    assert page.locator(".de-drawing circle").count() == 20
    page.locator("video").nth(1).wait_for(timeout=LONG)
    page.locator("video").first.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelectorAll('video')[1].currentTime > 1", timeout=SHORT)
    for paused in (True, False):
        page.locator("video").nth(1).press("Enter")
        assert page.locator("video").nth(1).evaluate("film => film.paused") is paused
    keep(page, "2-step")
    page.get_by_role("tab", name="The rows").click()
    see(page, "All of its 3 rows")
    assert page.get_by_alt_text("carts and poles of the observation").count() == 3
    keep(page, "3-rows")
    page.get_by_role("tab", name="Beside PPO").click()
    see(page, "as good as the one step after 60,000 steps")
    keep(page, "4-ppo")
    assert taken < 2 * 10, "ten times what it takes on an idle machine"


def test_bad_input_gets_a_sentence_and_the_page_goes_on(page):
    fill(page, "Hidden layers", "1000000000")
    see(page, "This network has 13,000,000,004 parameters")
    click(page, "Take one step")
    page.wait_for_function(
        "[...document.querySelectorAll('[role=alert]')]"
        ".filter(e => e.textContent.includes('13,000,000,004')).length === 2",
        timeout=SHORT,
    )
    keep(page, "5-too-large")
    fill(page, "Dataset", "")
    see(page, "No dataset is chosen")
    page.get_by_role("option").first.wait_for(state="hidden")
    keep(page, "6-no-dataset")
    fill(page, "Dataset", "no such thing")
    see(page, "There is no dataset 'no such thing' here")
    fill(page, "Dataset", "hopper-min")
    see(page, "can be seen and trained on, but not played for")
    keep(page, "7-no-simulator")
    fill(page, "Dataset", "cartpole-nd-2d-min")
    fill(page, "Hidden layers", "32")
    click(page, "Initialize, then one step")
    see(page, "500.0 after", LONG)


def test_a_network_that_does_not_learn_is_told_so_and_two_clicks_are_one(page):
    field_of(page, "Network").click()
    page.get_by_role("option", name="ReLU 256, 256").click()
    see(page, "does not learn from one step")
    assert field_of(page, "Hidden layers").input_value() == "256, 256"
    click(page, "Fit")
    click(page, "Take one step")
    see(page, "wait for its answer, then click again")
    page.wait_for_timeout(700)  # it fades in
    keep(page, "8-two-clicks")
    see(page, "networks are fitted", LONG)
    see(page, "500.0 after", LONG)
    page.locator("video").nth(1).wait_for(timeout=LONG)
    keep(page, "9-fitted")


def test_another_dataset_ends_what_is_computed_of_the_former(page):
    click(page, "Fit")
    see(page, "networks are fitted", LONG)
    fill(page, "Dataset", "cartpole-nd-1d-min")
    see(page, "Take a step, and see here what ten networks get", LONG)
    page.wait_for_timeout(5_000)  # fitting another network takes a second or two
    keep(page, "10-another-dataset")
    assert page.get_by_text("Error", exact=True).locator("visible=true").count() == 0
    assert page.get_by_text("networks are fitted").count() == 0
    click(page, "Take one step")
    see(page, "500.0 after", LONG)
    assert page.get_by_text("wait for its answer").count() == 0


def test_fields_and_buttons_are_reached_by_keyboard(page):
    field_of(page, "Dataset").focus()
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "(e => e.getAttribute('aria-label') || e.textContent.trim())"
                "(document.activeElement)"
            )
        )
    assert "Take one step" in reached
    assert "Initialize, then one step" in reached
