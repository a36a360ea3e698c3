"""The page as a Space: the real client against the loopback Hub."""

import subprocess
import sys

import pytest
import yaml

from distilled_envs.installation import install_command

pytest.importorskip("gradio")
pytestmark = pytest.mark.hub

SOURCE = "git+https://example.com/distilled-envs.git@0123abc"
PRELUDE = f"""
from distilled_envs.hub import publish_space
SOURCE = "{SOURCE}"
"""


def test_a_space_is_made_and_brought_up_to_date(hub, client):
    out = client(
        PRELUDE
        + """
print(publish_space("ada/one-step", source=SOURCE, private=True))
publish_space("ada/one-step", source=SOURCE)
print(main(["space", "--repo", "ada/one-step", "--source", SOURCE + "4"]))
"""
    ).splitlines()
    space = hub.repos["ada/one-step"]
    assert out[0].startswith(f"{hub.endpoint}/spaces/ada/one-step/commit/")
    assert out[-1] == "0"
    assert space.private
    files = {path: blob.content.decode() for path, blob in space.at("main").files.items()}
    assert files.keys() == {".gitattributes", "README.md", "app.py", "requirements.txt"}
    header = yaml.safe_load(files["README.md"].split("---\n")[1])
    assert header["sdk"] == "gradio"
    assert header["sdk_version"].count(".") == 2
    assert header["app_file"] == "app.py"
    assert header["license"] == "mit"
    assert len(header["short_description"]) <= 60
    assert header["tags"] == ["distilled-envs"]
    assert files["requirements.txt"].endswith(f"distilled-envs[demo] @ {SOURCE}4\n")
    # The repo's first, the Space, and its new source; what changes nothing makes no commit.
    assert len(space.commits) == 3
    compile(files["app.py"], "app.py", "exec")


def test_what_should_not_be_written_is_a_sentence(hub, client):
    out = client(
        PRELUDE
        + """
publish_space("ada/one-step", source=SOURCE)
publish(load_distilled("hopper-64"), "ada/other")
print(sentence(publish_space, "ada/one-step", source=SOURCE, private=True))
print(sentence(publish_space, "bob/one-step", source=SOURCE))
print(sentence(publish_space, "no repo id", source=SOURCE))
print(sentence(publish_space, "ada/two"))
for source in ("git+https://example.com/it.git", "distilled-envs", "https://example.com/it.zip"):
    print(sentence(publish_space, "ada/two", source=source))
"""
    ).splitlines()
    assert "ada/one-step is public already" in out[0]
    assert "The Hub answers with status 403 for bob/one-step" in out[1]
    assert "'no repo id' is no repo id" in out[2]
    assert "names no repository of its own" in out[3]
    assert all("is neither" in line for line in out[4:])
    assert len(out) == 7
    assert "ada/two" not in hub.repos


def test_another_space_is_left_as_it_is(hub, client):
    client("""
from huggingface_hub import HfApi
HfApi().create_repo("ada/mine", repo_type="space", space_sdk="gradio")
""")
    before = dict(hub.repos["ada/mine"].commits)
    out = client(PRELUDE + 'print(sentence(publish_space, "ada/mine", source=SOURCE))')
    assert "ada/mine is another Space already, without the tag distilled-envs" in out
    assert hub.repos["ada/mine"].commits == before


def test_without_gradio_one_sentence_names_the_extra():
    code = f"""
import sys
sys.modules["gradio"] = None
from distilled_envs.cli import main
print(main(["space", "--repo", "ada/x", "--source", "{SOURCE}"]), main(["demo"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "1 1\n"
    assert done.stderr.count(install_command("demo")) == 2
    assert "Traceback" not in done.stderr
