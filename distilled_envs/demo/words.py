"""Sentences as HTML."""

import html
import re


def as_html(said: str) -> str:
    """A sentence for a page, with what stands between backticks as code.

    >>> as_html("run `pip install <it>`")
    'run <code>pip install &lt;it&gt;</code>'
    """
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(said))
