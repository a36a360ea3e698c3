"""The command that an error names, by where the package came from."""

import json
from importlib import metadata

import pytest

from distilled_envs.errors import MissingExtraError
from distilled_envs.installation import install_command


@pytest.mark.parametrize(
    ("came", "command"),
    [
        (None, 'pip install "distilled-envs[sb3]"'),
        ({}, 'pip install "distilled-envs[sb3]"'),
        (
            {"url": "file://{folder}", "dir_info": {"editable": True}},
            'pip install -e "{folder}[sb3]"',
        ),
        ({"url": "file://{folder}", "dir_info": {}}, 'pip install "{folder}[sb3]"'),
        ({"url": "file:///gone", "dir_info": {}}, 'pip install "distilled-envs[sb3]"'),
        (
            {"url": "file://{folder}/a.whl", "archive_info": {}},
            'pip install "distilled-envs[sb3] @ file://{folder}/a.whl"',
        ),
        (
            {"url": "file:///gone/a.whl", "archive_info": {}},
            'pip install "distilled-envs[sb3]"',
        ),
        (
            {"url": "https://example.com/a.whl", "archive_info": {}},
            'pip install "distilled-envs[sb3] @ https://example.com/a.whl"',
        ),
        (
            {"url": "https://example.com/a", "vcs_info": {"vcs": "git", "commit_id": "012"}},
            'pip install "distilled-envs[sb3] @ git+https://example.com/a@012"',
        ),
        (
            {
                "url": "https://example.com/a",
                "vcs_info": {"vcs": "git", "commit_id": "012"},
                "subdirectory": "envs",
            },
            'pip install "distilled-envs[sb3] @ git+https://example.com/a@012#subdirectory=envs"',
        ),
        ("not JSON", 'pip install "distilled-envs[sb3]"'),
        ("[]", 'pip install "distilled-envs[sb3]"'),
    ],
)
def test_the_command_is_of_where_the_package_came_from(came, command, tmp_path, monkeypatch):
    (tmp_path / "a.whl").touch()
    text = json.dumps(came) if isinstance(came, dict) else came

    class Installed:
        def read_text(self, name):
            assert name == "direct_url.json"
            return text and text.replace("{folder}", str(tmp_path))

    class Built:
        def read_text(self, name):
            return None

    found = [Built(), Installed()]
    monkeypatch.setattr(metadata, "distributions", lambda name: iter(found))
    wanted = command.replace("{folder}", str(tmp_path))
    assert install_command("sb3") == wanted
    assert str(MissingExtraError("sb3", "It", "sb3")) == f"It needs sb3: run `{wanted}`."


def test_a_package_on_the_path_alone_has_one_too(monkeypatch):
    monkeypatch.setattr(metadata, "distributions", lambda name: iter([]))
    assert install_command("hub") == 'pip install "distilled-envs[hub]"'
