"""The real clients, each in a process of its own, against the loopback Hub."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("loopback", Path(__file__).with_name("loopback.py"))
loopback = importlib.util.module_from_spec(spec)
spec.loader.exec_module(loopback)
Refused = loopback.Refused

PRELUDE = """
import torch
from distilled_envs import load_distilled
from distilled_envs.catalog import entries
from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import DistilledEnvsError
from distilled_envs.hub import download, publish

def sentence(function, *arguments, **keywords):
    try:
        function(*arguments, **keywords)
    except DistilledEnvsError as error:
        return f"{type(error).__name__}: {error}"
    return "no error"
"""


@pytest.fixture
def hub():
    with loopback.LoopbackHub() as server:
        yield server


@pytest.fixture
def client(hub, tmp_path):
    """Runs Python code as a user would; gives what it prints."""

    def run(code: str, token: str = "hf_writer", **environment: str) -> str:
        variables = {
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(tmp_path / "home"),
            "HF_TOKEN": token,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        done = subprocess.run(
            [sys.executable, "-c", PRELUDE + code],
            env=os.environ | variables | environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert token not in done.stderr
        return done.stdout

    return run


def test_every_bundled_dataset_comes_back_as_it_was(hub, client):
    out = client("""
for entry in entries():
    publish(entry.folder, f"ada/distilled-{entry.family}")
for entry in entries():
    folder, source = download(f"ada/distilled-{entry.family}", entry.variant)
    before, after = DistilledDataset.load(entry.folder), DistilledDataset.load(folder)
    assert torch.equal(before.observations, after.observations), entry
    assert torch.equal(before.targets, after.targets), entry
    assert before.spec == after.spec, entry
    assert len(source.revision) == 40
print(len(entries()), "equal")
""")
    assert "equal" in out
    commits = {name: len(repo.commits) for name, repo in hub.repos.items()}
    assert commits["ada/distilled-hopper"] == 2  # the repo's first, and one for the dataset
    cartpoles = [n for n in hub.repos["ada/distilled-cartpole-nd"].at("main").files if "/" in n]
    assert commits["ada/distilled-cartpole-nd"] == 1 + len(cartpoles) / 2


def test_only_changes_make_commits_and_old_revisions_stay(hub, client):
    out = client("""
name = "ada/distilled-cartpole-nd"
dataset = load_distilled("cartpole_2d", instances=3)
first = publish(dataset, name)
print(publish(dataset, name) == first)
old = download(name)[1].revision
changed = DistilledDataset(dataset.observations, 2 * dataset.targets, dataset.spec)
print(publish(changed, name) == first)
for revision in (None, old, "main"):
    loaded = DistilledDataset.load(download(name, "2d-min", revision=revision)[0])
    print(torch.equal(loaded.targets, dataset.targets))
""")
    assert out.split() == ["True", "False", "False", "True", "False"]
    assert len(hub.repos["ada/distilled-cartpole-nd"].commits) == 3


def test_datasets_reads_the_same_rows(client):
    out = client("""
import datasets
name, want = "ada/distilled-cartpole-nd", {}
for variant, instances in (("2d-min", 3), ("2d-64", 64)):
    want[variant] = load_distilled("cartpole_2d", instances=instances)
    publish(want[variant], name)
for variant, dataset in want.items():
    rows = datasets.load_dataset(name, variant)["train"].with_format("torch")
    print(torch.equal(rows["observation"][:], dataset.observations))
    print(torch.equal(rows["target"][:], dataset.targets))
    print(rows.features["observation"].length)
""")
    assert out.split() == ["True", "True", "8"] * 2


def test_the_card_knows_all_variants_and_passes_the_hubs_validation(hub, client):
    client("""
from huggingface_hub import DatasetCard
for instances in (3, 64):
    publish(load_distilled("cartpole_2d", instances=instances), "ada/distilled-cartpole-nd")
DatasetCard.load("ada/distilled-cartpole-nd").validate(repo_type="dataset")
""")
    repo = hub.repos["ada/distilled-cartpole-nd"]
    header = repo.card()
    assert [config["config_name"] for config in header["configs"]] == ["2d-64", "2d-min"]
    assert {"gymnasium", "dataset-distillation", "distilled-envs"} <= set(header["tags"])
    text = repo.at("main").files["README.md"].content.decode()
    assert "| `2d-min` | Adam to convergence | 10 x 5 episodes | 109.0 ± 29.3" in text
    assert "distilled-envs distill cartpole-nd-2d-min" in text
    assert "{{" not in text


def test_pull_requests_on_somebody_elses_repo(hub, client):
    client('publish(load_distilled("hopper"), "ada/distilled-hopper")')
    out = client(
        'dataset = load_distilled("hopper"); dataset.targets *= 2\n'
        'print(publish(dataset, "ada/distilled-hopper", create_pr=True))\n',
        token="hf_reader",
    )
    assert "/discussions/1" in out
    repo = hub.repos["ada/distilled-hopper"]
    assert repo.refs["main"] != repo.refs["refs/pr/1"]


def test_the_command_publishes_a_run(hub, client):
    out = client("""
from distilled_envs.cli import main
load_distilled("hopper").save("runs/mine/dataset")
print(main(["publish", "runs/mine", "--repo", "ada/distilled-hopper", "--private"]))
print(main(["publish", "nothing-like-it", "--repo", "ada/x"]))
""").split()
    assert out[0].startswith(f"{hub.endpoint}/datasets/ada/distilled-hopper/commit/")
    assert out[1:] == ["0", "1"]
    assert hub.repos["ada/distilled-hopper"].private


def test_mistakes_get_a_sentence(client):
    out = client("""
dataset = load_distilled("cartpole_2d", instances=3)
publish(dataset, "ada/distilled-cartpole-nd")
publish(load_distilled("cartpole_2d"), "ada/distilled-cartpole-nd")
print(sentence(download, "ada/no-such-thing"))
print(sentence(download, "ada/distilled-cartpole-nd"))
print(sentence(download, "ada/distilled-cartpole-nd", "9d-min"))
print(sentence(download, "ada/distilled-cartpole-nd", "2d-min", revision="no-branch"))
print(sentence(download, "ada/distilled-cartpole-nd", "2d-min", max_bytes=100))
print(sentence(publish, dataset, "bob/distilled-cartpole-nd"))
print(sentence(publish, dataset, "not a name"))
print(sentence(publish, "no/such/folder", "ada/x"))
print(sentence(publish, load_distilled("hopper"), "ada/distilled-cartpole-nd"))
print(sentence(publish, dataset, "ada/distilled-cartpole-nd", private=True))
print(sentence(download, "ada/distilled-cartpole-nd", "../2d-min"))
dataset.spec = dataset.spec.replace(name="cartpole-nd-../../x")
print(sentence(publish, dataset, "ada/distilled-cartpole-nd"))
""").splitlines()
    for line, expected in zip(
        out,
        [
            "HubError: There is no dataset ada/no-such-thing",
            "several variants, choose one of: 2d-64, 2d-min",
            "no variant '9d-min', only 2d-64, 2d-min",
            "has no revision 'no-branch'",
            "more than the limit",
            "status 403 for bob/distilled-cartpole-nd: this token may not write there",
            "'not a name' is no repo id",
            "DatasetError: no/such/folder",
            "holds cartpole-nd, and hopper-64 is another environment",
            "ada/distilled-cartpole-nd is public already",
            "'../2d-min' can't be the name of a variant",
            "can't name a folder on the Hub",
        ],
        strict=True,
    ):
        assert expected in line


def test_wrong_token_is_not_repeated(client):
    out = client(
        'print(sentence(publish, load_distilled("hopper"), "ada/x"))', token="hf_not_a_token"
    )
    assert "HubError" in out
    assert "hf_not_a_token" not in out


def once(status: int, where: str, **headers: str):
    """A fault that strikes the first request of a kind."""
    left = [True]

    def fault(method, path):
        if left[0] and where in path:
            left[0] = False
            raise Refused(status, "for a moment", **headers)

    return fault


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize("where", ["/api/datasets/", "/resolve/"])
def test_troubles_that_pass_are_sat_out(hub, client, status, where):
    client('publish(load_distilled("hopper"), "ada/distilled-hopper")')
    hub.fault = once(status, where, **({"Retry_After": "1"} if status == 429 else {}))
    assert "True" in client("""
loaded = DistilledDataset.load(download("ada/distilled-hopper")[0])
print(torch.equal(loaded.targets, load_distilled("hopper").targets))
""")


@pytest.mark.parametrize("damage", [b"", b"half a file", "changed"])
def test_damaged_downloads_never_become_a_dataset(hub, client, damage):
    client('publish(load_distilled("hopper"), "ada/distilled-hopper")')

    def fault(method, path):
        if "/cdn/" in path:
            content = hub.lfs[path.rsplit("/", 1)[1]]
            return content[:-1] + bytes([content[-1] ^ 1]) if damage == "changed" else damage

    hub.fault = fault
    load = 'DistilledDataset.load(download("ada/distilled-hopper")[0])'
    out = client(f"print(sentence(lambda: {load}))")
    assert out.startswith(("HubError", "DatasetError"))
    hub.fault = None
    assert "11" in client(f"print({load}.observations.shape[1])")  # the next download mends it


def test_without_a_network_the_cache_serves(hub, client):
    client('publish(load_distilled("hopper"), "ada/distilled-hopper")')
    load = 'print(download("ada/distilled-hopper", "64")[1])'
    online = client(load)
    assert client(load, HF_HUB_OFFLINE="1") == online
    assert client(load, HF_ENDPOINT="http://127.0.0.1:9") == online
    for way in ({"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}):
        out = client('print(sentence(download, "ada/distilled-ant", "64"))', **way)
        assert "not in the cache, and the Hub can't be reached" in out
    out = client('print(sentence(download, "ada/distilled-hopper"))', HF_HUB_OFFLINE="1")
    assert out.startswith("HubError: The Hub can't be reached: say which variant")


def test_without_the_client_one_sentence_names_the_extra():
    code = """
import sys
sys.modules["huggingface_hub"] = None
from distilled_envs.cli import main
print(main(["publish", "hopper", "--repo", "ada/x"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "1\n"
    assert 'pip install "distilled-envs[hub]"' in done.stderr
    assert "Traceback" not in done.stderr
