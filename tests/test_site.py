"""The site of examples/docs, built as `make docs` does, with the network cut."""

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import distilled_envs

ROOT = Path(__file__).parent.parent
PAGES = [
    "index",
    "use-a-dataset",
    "bring-a-network",
    "bring-a-policy",
    "bring-an-environment",
    "hub",
    "results",
    "how-it-works",
    "errors",
    "api",
    "training",
]
OFFLINE = """
import socket, sys
from mkdocs.__main__ import cli

def refused(*_, **__):
    raise AssertionError("the site was built from the network")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refused
cli(sys.argv[1:])
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    flags = ["--strict", "--quiet", "--config-file", ROOT / "examples" / "mkdocs.yml"]
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, "build", *flags, "--site-dir", folder],
        capture_output=True,
        text=True,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_pages_are_there(site):
    for name in PAGES:
        page = (site / f"{name}.html").read_text()
        assert "<h1" in page, name
        assert not re.search(r":(class|func|meth|mod):", page), name


def test_figures_are_there(site):
    page = (site / "how-it-works.html").read_text()
    figures = re.findall(r'<img[^>]+src="([^"]+)"', page)
    assert len(figures) == 3
    for figure in figures:
        assert 0 < (site / figure).stat().st_size < 150 * 1024


def test_public_names_have_an_entry(site):
    pages = (site / "api.html").read_text() + (site / "api-making.html").read_text()
    ids = {each.rpartition(".")[2] for each in re.findall(r'<h\d id="([\w.]+)"', pages)}
    assert {*distilled_envs.__all__} - {"__version__"} <= ids
    settings = {field.name for field in dataclasses.fields(distilled_envs.GameSettings)}
    assert settings <= ids


def test_nothing_is_loaded_from_elsewhere(site):
    for page in site.rglob("*.html"):
        text = page.read_text()
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]+src=[\"']?([^\"' >]+)", text)
        loaded += re.findall(r"<link(?![^>]+canonical)[^>]+href=[\"']?([^\"' >]+)", text)
        assert loaded
        for each in loaded:
            assert not re.match(r"(\w+:)?//", each), (page, each)
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//|@import", sheet.read_text()), sheet


def test_links_within_the_site_lead_somewhere(site):
    for page in site.glob("*.html"):
        for link in re.findall(r"<a[^>]+href=\"([^\"#:]+)(?:#[^\"]*)?\"", page.read_text()):
            where = site / link.lstrip("/") if link.startswith("/") else page.parent / link
            assert where.exists(), (page.name, link)
