"""The commands ``demo`` and ``space``: the page to try, here and on the Hub."""

import os
import sys
import threading


def demo(*, port: int | None = None, open: bool = False) -> None:
    """Show a page to try: choose a dataset and a network, take the one step, and watch.

    Ctrl-C ends it.

    Args:
        port: Of this machine; the first free one from 7860 if not given.
        open: Open it in the browser.
    """
    from distilled_envs.demo.page import serve

    page = serve(port, open_browser=open)
    print(f"The page is at {page.local_url} until Ctrl-C.", flush=True)
    try:
        threading.Event().wait()
    finally:
        page.close(verbose=False)
        sys.stdout.flush()
        # What is computed for a visitor can't be stopped, and aborts when Python ends under it.
        os._exit(0)


def space(*, repo: str, source: str | None = None, private: bool = False) -> None:
    """Put the page of `demo` on the Hugging Face Hub, as a Space.

    Args:
        repo: Repo id, user/name. It is made if need be.
        source: Where the Space installs this package from, git+https://...@COMMIT or the address
            of a wheel; the repository that the package names if not given.
        private: Make it private.
    """
    from distilled_envs import hub

    print(hub.publish_space(repo, source=source, private=private))
