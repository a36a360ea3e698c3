"""Fetching a model of Stable-Baselines3 from the Hugging Face Hub, as a teacher."""

from pathlib import Path, PurePosixPath

from huggingface_hub import HfApi, constants, hf_hub_download

from distilled_envs.errors import HubError
from distilled_envs.hub.clients import explained, patiently


def download_model(repo_id: str) -> Path:
    """Fetch the zip of a model repo; it is not opened here.

    Args:
        repo_id: ``user/name``, such as ``sb3/ppo-CartPole-v1``.

    Returns:
        The file in the cache.

    Raises:
        HubError: There is no such model, it has no zip or several, or the Hub can't be reached.
    """
    with explained(repo_id, what="model"):
        info = patiently(lambda: HfApi().model_info(repo_id, timeout=constants.HF_HUB_ETAG_TIMEOUT))
        files = [each.rfilename for each in info.siblings or ()]
        zips = [name for name in files if PurePosixPath(name).suffix == ".zip"]
        # Repos of SB3's zoo hold one zip, beside replays and configurations.
        if len(zips) != 1:
            raise HubError(
                f"{repo_id} must hold one .zip of a Stable-Baselines3 model, and holds "
                f"{', '.join(zips) or 'none'}: download the one you mean, and name the file."
            )
        return Path(hf_hub_download(repo_id, zips[0], revision=info.sha))
