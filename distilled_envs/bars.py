"""Bars of long work, as a terminal or a notebook shows them."""

import warnings

with warnings.catch_warnings():
    # Without ipywidgets a notebook gets a plain bar, and whoever imports the package a warning.
    warnings.simplefilter("ignore")
    from tqdm.auto import tqdm, trange

__all__ = ["tqdm", "trange"]
