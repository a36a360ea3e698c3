"""The command that adds an extra, from wherever this package was installed."""

import json
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname


def install_command(extra: str) -> str:
    """What a user can run, as it stands, to add an extra.

    pip keeps where a package came from (PEP 610): a checkout, a wheel, a repository. Where it keeps
    nothing, that was an index.

    Args:
        extra: Its name.
    """
    # In a checkout Python finds what was built there as well, of which nothing is kept.
    every = metadata.distributions(name="distilled-envs")
    kept = (text for each in every if (text := each.read_text("direct_url.json")))
    try:
        came: dict[str, Any] = json.loads(next(kept, "{}"))
        url = str(came.get("url", ""))
    except (ValueError, AttributeError):
        came, url = {}, ""
    wanted = f"distilled-envs[{extra}]"
    folder = url2pathname(urlparse(url).path)
    if "dir_info" in came and Path(folder).is_dir():
        editable = came["dir_info"].get("editable", False)
        return f'pip install {"-e " * editable}"{folder}[{extra}]"'
    if "vcs_info" in came:
        version = came["vcs_info"]
        inside = f"#subdirectory={came['subdirectory']}" if "subdirectory" in came else ""
        address = f"{version.get('vcs', 'git')}+{url}@{version.get('commit_id', 'HEAD')}{inside}"
        return f'pip install "{wanted} @ {address}"'
    if "archive_info" in came and (not url.startswith("file:") or Path(folder).is_file()):
        return f'pip install "{wanted} @ {url}"'
    return f'pip install "{wanted}"'
