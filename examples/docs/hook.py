"""Pages of the site that lie elsewhere in the repository, and links that lead out of docs/.

The Markdown of docs/ is read on a Git host as well, where links go to files. mkdocs calls the
functions ``on_...`` here. Links to files that are pages of the site become links to these pages,
and other links lead to the repository, or become plain text where mkdocs.yml names none.
"""

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
DOCS = "examples/docs"
ELSEWHERE = {
    "training.md": "training/README.md",
    "examples.md": "examples/README.md",
    "contributing.md": ".github/CONTRIBUTING.md",
    "changelog.md": ".github/CHANGELOG.md",
}
"""Pages by name, and the files that they are made of."""

ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):<code>([^<]+)</code>")
FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<!!)\[([^]]+)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages from elsewhere."""
    for name, source in ELSEWHERE.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Turn a page's links to files of the repository into links of the site."""
    source = ELSEWHERE.get(page.file.src_uri, f"{DOCS}/{page.file.src_uri}")
    pages = {file: name for name, file in ELSEWHERE.items()}

    def turned(found: re.Match[str]) -> str:
        text, target, anchor = found[1], found[2], found[3] or ""
        if ":" in target:
            return found[0]
        path = os.path.normpath(PurePosixPath(source).parent / target)
        if not (ROOT / path).exists():
            raise PluginError(f"{source} refers to {target}, and there is no {path}.")
        if path in pages:
            return f"[{text}]({pages[path]}{anchor})"
        if path.startswith(f"{DOCS}/"):
            return f"[{text}]({path.removeprefix(f'{DOCS}/')}{anchor})"
        repository = config.extra["repository"]
        return f"[{text}]({repository}/blob/HEAD/{path}{anchor})" if repository else text

    parts = FENCE.split(markdown)
    parts[::2] = [LINK.sub(turned, part) for part in parts[::2]]  # code stays as it is
    return "".join(parts)


def on_page_content(html: str, **_: Any) -> str:
    """Show Sphinx's roles in docstrings as names, and keep scores in one piece.

    Docstrings have roles such as :class:`~package.module.Name`, which are not Markdown.
    """
    html = ROLE.sub(lambda found: f"<code>{found[1].rpartition('.')[2]}</code>", html)
    html = html.replace(" ± ", "&nbsp;±&nbsp;")
    return re.sub(r"(±&nbsp;[\d,.]+) / ", r"\1&nbsp;/ ", html)
