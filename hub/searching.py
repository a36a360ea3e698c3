"""Finding distilled datasets on the Hugging Face Hub by their tag, and reading their cards."""

from dataclasses import dataclass

from huggingface_hub import HfApi, hf_hub_download

from distilled_envs.errors import HubError
from distilled_envs.hub.cards import TAG
from distilled_envs.hub.clients import check_reachable, explained, patiently
from distilled_envs.hub.downloading import variants_among


@dataclass(frozen=True)
class Published:
    """A repo with distilled datasets.

    Attributes:
        repo_id: ``user/name``.
        variants: What ``load_distilled("user/name/<variant>")`` finds there.
        downloads: In the last 30 days.
        updated: Day of the last change, ``YYYY-MM-DD``; empty if not known.
    """

    repo_id: str
    variants: tuple[str, ...]
    downloads: int
    updated: str


def search(namespace: str | None = None) -> list[Published]:
    """The repos on the Hub that are tagged ``distilled-envs``, in order of their ids.

    Args:
        namespace: Only those of a user or organization.

    Raises:
        HubError: The Hub can't be reached, or refuses.
    """
    # Not the cards: anybody can write one, and one that is odd would hide all the others.
    with explained(namespace or "the search"):
        check_reachable()
        found = patiently(
            lambda: list(
                HfApi().list_datasets(
                    filter=TAG, author=namespace, expand=["downloads", "lastModified", "siblings"]
                )
            )
        )
    published = [
        Published(
            info.id,
            tuple(variants_among(file.rfilename for file in info.siblings or ())),
            info.downloads or 0,
            f"{info.last_modified:%Y-%m-%d}" if info.last_modified else "",
        )
        for info in found
    ]
    return sorted(published, key=lambda each: each.repo_id.lower())


def read_card(repo_id: str, revision: str | None = None) -> str:
    """The card of a Hub repo, ``README.md``.

    Raises:
        HubError: It has none, or can't be reached.
    """
    with explained(repo_id, revision):
        path = patiently(
            lambda: hf_hub_download(repo_id, "README.md", repo_type="dataset", revision=revision)
        )
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise HubError(f"{repo_id}: README.md is not UTF-8 text: {error}.") from None
