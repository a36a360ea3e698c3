"""Publishing, and what comes back: the real clients against the loopback Hub."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from distilled_envs.catalog import entries, find
from distilled_envs.installation import install_command

pytestmark = pytest.mark.hub


@pytest.mark.slow
def test_every_bundled_dataset_comes_back_as_it_was(hub, client):
    out = client(
        """
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
""",
        draw=True,
    )
    assert "equal" in out
    for name, repo in hub.repos.items():
        variants = [e for e in entries() if name == f"ada/distilled-{e.family}"]
        assert len(repo.commits) == 1 + len(variants)  # the repo's first, and one for each


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


def test_the_card_names_teachers_and_what_they_cost():
    pytest.importorskip("huggingface_hub")
    from distilled_envs.hub.cards import make_card

    taught = find("halfcheetah-min").spec
    card = " ".join(make_card("ada/distilled-halfcheetah", {"min": taught}, 7).split())
    assert "It imitates a linear policy, whose return is" in card
    assert "halfcheetah-ars.npz" in card
    started = card.index("Where that started from, `RL Zoo's agent ars/HalfCheetah-v3_1")
    assert card.index("15,008,000 environment steps") < started
    assert started < card.index("10,048,000 environment steps")
    encoded = make_card("ada/other", {"encoder": find("halfcheetah-encoder").spec}, 32)
    assert "The first 2 layers are shared by all learners" in encoded


def test_the_card_shows_the_rows_and_the_curve_of_the_training(hub, client):
    client('publish(load_distilled("hopper-256"), "ada/distilled-hopper")', draw=True)
    files = hub.repos["ada/distilled-hopper"].at("main").files
    for picture in ("rows", "curve"):
        name = f"images/256-{picture}.png"
        assert files[name].content.startswith(b"\x89PNG")
        assert f"({name})" in files["README.md"].content.decode()


def test_pull_requests_on_somebody_elses_repo(hub, client):
    client('publish(load_distilled("hopper-64"), "ada/distilled-hopper")')
    out = client(
        'dataset = load_distilled("hopper-64"); dataset.targets *= 2\n'
        'print(publish(dataset, "ada/distilled-hopper", create_pr=True))\n',
        HF_TOKEN="hf_reader",
    )
    assert "/discussions/1" in out
    repo = hub.repos["ada/distilled-hopper"]
    assert repo.refs["main"] != repo.refs["refs/pr/1"]


def test_the_command_publishes_a_run(hub, client):
    out = client("""
load_distilled("hopper-64").save("runs/mine/dataset")
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
print(sentence(download, "ada/distilled-cartpole-nd", dims=3))
print(sentence(download, "ada/distilled-cartpole-nd", "9d-min"))
print(sentence(download, "ada/distilled-cartpole-nd", "2d-min", revision="no-branch"))
print(sentence(download, "ada/distilled-cartpole-nd", "2d-min", max_bytes=100))
print(sentence(publish, dataset, "bob/distilled-cartpole-nd"))
print(sentence(publish, dataset, "not a name"))
print(sentence(publish, "no/such/folder", "ada/x"))
print(sentence(publish, load_distilled("hopper-64"), "ada/distilled-cartpole-nd"))
print(sentence(publish, dataset, "ada/distilled-cartpole-nd", private=True))
print(sentence(download, "ada/distilled-cartpole-nd", "../2d-min"))
dataset.spec = dataset.spec.replace(name="cartpole-nd-../../x")
print(sentence(publish, dataset, "ada/distilled-cartpole-nd"))
""").splitlines()
    for line, expected in zip(
        out,
        [
            "HubError: There is no dataset ada/no-such-thing",
            "no variant with dims=3; there are: cartpole-nd-2d-min (3 rows), cartpole-nd-2d-64 (64",
            "no variant '9d-min', only 2d-64, 2d-min",
            "has no revision 'no-branch'",
            "more than the limit",
            "status 403 for bob/distilled-cartpole-nd: this token may not write there",
            "'not a name' is no repo id",
            "There is no folder no/such/folder",
            "holds datasets of CartPoleND-v0, and hopper-64 is one of Hopper-v5",
            "ada/distilled-cartpole-nd is public already",
            "'../2d-min' can't be the name of a variant",
            "can't name a folder on the Hub",
        ],
        strict=True,
    ):
        assert expected in line


def test_a_dataset_takes_the_place_of_none_of_another_environment(hub, client):
    out = client("""
import dataclasses, gymnasium
dataset = load_distilled("hopper-min")
publish(dataset, "ada/distilled-hopper")
old = load_distilled("hopper-min")
old.spec = old.spec.replace(env=gymnasium.spec("Hopper-v4"))
print(sentence(publish, old, "ada/distilled-hopper"))
lame = load_distilled("hopper-min")
lame.spec = lame.spec.replace(env=dataclasses.replace(lame.spec.env, kwargs={"frame_skip": 8}))
print(sentence(publish, lame, "ada/distilled-hopper"))
lame.spec = lame.spec.replace(name="hopper-lame")
publish(lame, "ada/distilled-hopper")
print(len(load_distilled("Hopper-v5", namespace="ada")))
for other in (old, lame):
    other.spec = other.spec.replace(name="hopper-min")
    publish(other, f"ada/distilled-{other.spec.env.id.lower()}-{len(other.spec.env.kwargs)}")
print(sentence(load_distilled, "ada/distilled-hopper-v5-1/min"))
""").splitlines()
    assert "holds datasets of Hopper-v5, and hopper-min is one of Hopper-v4" in out[0]
    assert "with the arguments {}, and hopper-min has {'frame_skip': 8}" in out[1]
    assert out[2:] == ["4", "no error"]
    # Somebody else's repo of the name that is looked for.
    for name in ("hopper-v4-0", "hopper-v5-1"):
        hub.repos["bob/distilled-hopper"] = hub.repos[f"ada/distilled-{name}"]
        asked = client('print(sentence(load_distilled, "Hopper-v5", namespace="bob"))')
        assert "bob/distilled-hopper/min is of Hopper-v" in asked
        assert "and not of Hopper-v5 with {}: name it in full to load it" in asked


def test_wrong_token_is_not_repeated(client):
    out = client(
        'print(sentence(publish, load_distilled("hopper-64"), "ada/x"))',
        HF_TOKEN="hf_not_a_token",
    )
    assert out.startswith("HubError: The Hub answers with status 401 for ada/x: the token is not")
    assert "hf_not_a_token" not in out


def test_without_the_client_one_sentence_names_the_extra():
    code = """
import sys
sys.modules["huggingface_hub"] = None
from distilled_envs.cli import main
print(main(["publish", "hopper-64", "--repo", "ada/x"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "1\n"
    assert install_command("hub") in done.stderr
    assert "Traceback" not in done.stderr


def test_what_the_hub_would_refuse_makes_no_repo(hub, client):
    out = client("""
dataset = load_distilled("hopper-64")
print(sentence(publish, dataset, "ada/new", license="apache"))
print(sentence(publish, dataset, "ada/new", revision="dev"))
print(sentence(publish, dataset, "ada/new", create_pr=True))
""").splitlines()
    assert out[0].startswith("HubError: The Hub refuses the card of ada/new: ")
    assert "must be one of the Hub's identifiers" in out[0]
    assert "ada/new is not there yet, so it has no revision 'dev'" in out[1]
    assert "There is no dataset ada/new on the Hub" in out[2]
    assert not hub.repos
    licensed = 'publish(load_distilled("hopper-64"), "ada/new"{})'
    client(licensed.format(', license="cc-by-4.0"'))
    client(licensed.format(""))
    assert hub.repos["ada/new"].card()["license"] == "cc-by-4.0"


def test_a_name_is_published_from_the_package(hub, client):
    client('publish("ant-64", "ada/distilled-ant")', DISTILLED_ENVS_NAMESPACE="ada")
    assert "64/train.parquet" in hub.repos["ada/distilled-ant"].at("main").files


@pytest.mark.slow
def test_the_page_about_the_hub_works_as_it_is_written(hub, environment, tmp_path):
    page = (Path(__file__).parents[2] / "examples" / "docs" / "hub.md").read_text()
    blocks = re.findall(r"```(bash|python)\n(.*?)```", page, re.S)
    shell, *python = blocks
    blocks = [shell, ("python", "\n".join(code for _, code in python))]
    assert [kind for kind, _ in blocks] == ["bash", "python"]
    commands = {"bash": ["bash", "-euc"], "python": [sys.executable, "-c"]}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # One thread: two test processes that spin on two cores each wait for one another.
    mine = {"HF_TOKEN": "hf_mine", "PATH": path, "OMP_NUM_THREADS": "1"}
    out = ""
    for kind, code in blocks:
        done = subprocess.run(
            [*commands[kind], code],
            env=os.environ | environment | mine,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        out += done.stdout
    assert re.search(r"^my-name/distilled-cartpole-nd +2d-min ", out, re.MULTILINE)
    commit = hub.repos["my-name/distilled-cartpole-nd"].refs["main"]
    assert f"hub my-name/distilled-cartpole-nd/2d-min@{commit}" in out


def test_a_preview_is_what_would_be_published(hub, client, tmp_path):
    out = client(
        f"""
from distilled_envs.errors import DatasetError, HubError
from distilled_envs.hub import preview
files = preview("cartpole-nd-2d-min", "ada/distilled-cartpole-nd", {str(tmp_path / "seen")!r})
print(all(file.is_file() for file in files), len(files))
for bad in ("ada/too/many", "ada/-x"):
    try:
        preview("cartpole-nd-2d-min", bad, {str(tmp_path / "bad")!r})
    except HubError as error:
        print("\\n" not in str(error))
try:
    preview("cartpole-nd-2d-min", "ada/other", {str(tmp_path / "seen")!r})
except DatasetError as error:
    print("exists already" in str(error))
""",
        draw=True,
    )
    assert out.split() == ["True", "4", "True", "True", "True"]
    assert not hub.repos and not (tmp_path / "bad").exists()
    client('publish("cartpole-nd-2d-min", "ada/distilled-cartpole-nd")', draw=True)
    seen = {
        str(path.relative_to(tmp_path / "seen")): path.read_bytes()
        for path in (tmp_path / "seen").rglob("*")
        if path.is_file()
    }
    published = hub.repos["ada/distilled-cartpole-nd"].at("main").files
    assert seen == {name: published[name].content for name in seen}
    assert {*published} - {*seen} <= {".gitattributes"}
