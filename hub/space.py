"""Publishing the page to try as a Space of the Hugging Face Hub, in one commit."""

import importlib.metadata
import re

from huggingface_hub import HfApi, SpaceCardData, errors
from huggingface_hub.hf_api import SpaceInfo

from distilled_envs import __version__
from distilled_envs.errors import HubError, MissingExtraError, SettingsError
from distilled_envs.hub.cards import TAG
from distilled_envs.hub.clients import SILENCE, committed, explained, impatient, patiently

try:
    import gradio
except ImportError:
    raise MissingExtraError("gradio", "A Space", "demo") from None

PACKAGE = "distilled-envs"
_PYTHON = "3.11"

APP = '''\
"""The page of Distilled Envs."""

from distilled_envs.demo.page import LAUNCH, make_page

make_page().launch(**LAUNCH | {"prevent_thread_lock": False})
'''
_ABOUT = """\
# Distilled Envs: one gradient step

A fresh network takes one gradient step on a few rows, and then plays: choose a dataset and a
network, and watch it before and after. This Space was made by `distilled-envs space`, which writes
it anew; what you change here is lost then.
"""


def publish_space(repo_id: str, *, source: str | None = None, private: bool = False) -> str:
    """Publish the page as a Space, or bring one that was published before up to date.

    Args:
        repo_id: ``user/name``.
        source: Where pip gets the package from, at one version: ``git+https://...@COMMIT``, or the
            address of a wheel. None takes the repository that the package names as its own, at the
            tag of this version.
        private: Whether the Space is private; one that is public stays so, and is refused.

    Returns:
        Address of the commit.

    Raises:
        SettingsError: The source is no address of that kind, or there is none.
        HubError: There is another Space of that name, the Hub refuses, or can't be reached.
    """
    requirement = f"{PACKAGE}[demo] @ {_pinned(source)}"
    card = SpaceCardData(
        title="Distilled Envs",
        emoji="\U0001f3af",
        sdk="gradio",
        sdk_version=gradio.__version__,
        python_version=_PYTHON,
        app_file="app.py",
        license="mit",
        tags=[TAG],
        short_description="One gradient step, and a network plays",
    )
    contents = {
        "README.md": f"---\n{card.to_yaml()}\n---\n\n{_ABOUT}",
        "app.py": APP,
        # Without the index pip takes gigabytes of CUDA, which a Space without a GPU has no use for.
        "requirements.txt": (
            f"--extra-index-url https://download.pytorch.org/whl/cpu\n{requirement}\n"
        ),
    }
    api = HfApi()
    with explained(repo_id, what="Space", writes=True), impatient():
        head = _head(api, repo_id)
        if head is not None:
            _check_ours(repo_id, head, private)
        else:
            patiently(
                lambda: api.create_repo(
                    repo_id, repo_type="space", space_sdk="gradio", private=private, exist_ok=True
                )
            )
            head = _info(api, repo_id)
        done = committed(
            api,
            repo_id,
            {path: text.encode() for path, text in contents.items()},
            commit_message=f"The page of {PACKAGE} {__version__}",
            repo_type="space",
            parent_commit=head.sha,
        )
        return done.commit_url


def _pinned(source: str | None) -> str:
    """A source of one of the two kinds; a branch means what it holds when the Space is built."""
    if source is None:
        source = _own_repository()
        if source is None:
            raise SettingsError(
                "This package names no repository of its own, which a Space could install it from: "
                "give a --source, git+https://...@COMMIT or the address of a wheel."
            )
    if not re.fullmatch(r"git\+https://[^\s@]+@[\w.+/-]+|https://\S+\.whl", source):
        raise SettingsError(
            f"A Space installs the package from git+https://...@COMMIT, or from the address of a "
            f"wheel, https://... .whl: {source!r} is neither."
        )
    return source


def _own_repository() -> str | None:
    """Where the package's metadata say that it comes from, at the tag of this version."""
    urls = importlib.metadata.metadata(PACKAGE).get_all("Project-URL") or []
    found = dict(re.split(r",\s*", each, maxsplit=1) for each in urls)
    home = next((found[name] for name in ("Repository", "Source") if name in found), None)
    return None if home is None else f"git+{home.rstrip('/')}@v{__version__}"


def _head(api: HfApi, repo_id: str) -> SpaceInfo | None:
    """The Space as it is; None if it is yet to be made."""
    try:
        return _info(api, repo_id)
    except errors.GatedRepoError:
        raise
    except errors.RepositoryNotFoundError:
        return None


def _info(api: HfApi, repo_id: str) -> SpaceInfo:
    return patiently(lambda: api.space_info(repo_id, timeout=SILENCE))


def _check_ours(repo_id: str, head: SpaceInfo, private: bool) -> None:
    """Refuse to write over what somebody else, or another program, has made.

    Raises:
        HubError: It would be.
    """
    if TAG not in ((head.card_data.get("tags") if head.card_data else None) or []):
        raise HubError(
            f"{repo_id} is another Space already, without the tag {TAG}: give the page a name of "
            "its own."
        )
    if private and not head.private:
        raise HubError(f"{repo_id} is public already: give the page another name.")
