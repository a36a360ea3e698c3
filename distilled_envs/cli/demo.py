"""The command ``demo``: the page to try."""

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
