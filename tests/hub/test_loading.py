"""``load_distilled`` and the commands that find and show what is on the Hub."""

import json
import re
import time

import pytest

pytestmark = pytest.mark.hub

TWO = """
for instances in (3, 64):
    publish(load_distilled("cartpole_2d", instances=instances), "ada/distilled-cartpole-nd")
"""


def test_names_lead_to_the_namespaces_repos(hub, client):
    client(f'{TWO}\npublish(load_distilled("hopper-64"), "ada/distilled-hopper")')
    out = client("""
import logging
logging.basicConfig(format="%(message)s", stream=__import__("sys").stdout)
logging.getLogger("distilled_envs").setLevel(logging.INFO)
load_distilled("CartPole_2D", instances=3, namespace="ada")
load_distilled("hopper-64", namespace="ada")
print(sentence(load_distilled, "ant", namespace="ada"))
""").splitlines()
    commit = hub.repos["ada/distilled-cartpole-nd"].refs["main"]
    assert out[0] == f"cartpole-nd-2d-min: hub ada/distilled-cartpole-nd/2d-min@{commit}"
    assert out[1].startswith("hopper-64: hub ada/distilled-hopper/64@")
    assert "There is no dataset ada/distilled-ant on the Hub" in out[2]
    assert "Without a namespace the bundled copy is taken" in out[2]
    code = 'print(load_distilled("hopper_64").source.kind)'
    assert client(code) == "bundled\n"
    assert client(code, DISTILLED_ENVS_NAMESPACE="ada") == "hub\n"
    env = 'import gymnasium; print(gymnasium.make("DistilledCartPoleND-v0", dims=2))'
    assert "DistilledCartPoleND-v0" in client(env, DISTILLED_ENVS_NAMESPACE="ada")


def test_the_bundled_copy_stands_in_when_the_hub_cannot_be_reached(hub, client):
    client('publish(load_distilled("hopper-64"), "ada/distilled-hopper")')
    load = 'print(load_distilled("{}", namespace="ada").source.kind)'
    assert client(load.format("hopper-64")) == "hub\n"
    away = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    assert client(load.format("hopper-64"), **away) == "hub\n"  # cached
    assert client(load.format("ant"), **away) == "bundled\n"  # never fetched
    assert client(load.format("ant"), HF_HUB_OFFLINE="1") == "bundled\n"
    client('load_distilled("ada/distilled-hopper")')
    by_id = 'dataset = load_distilled("ada/distilled-hopper"); print(dataset.source.kind)'
    assert client(by_id, HF_HUB_OFFLINE="1") == "hub\n"
    old = 'print(sentence(load_distilled, "ant", namespace="ada", revision="v1"))'
    assert client(old, **away).startswith("HubUnreachableError")


def test_repo_ids_variants_and_revisions(hub, client):
    out = client(f"""{TWO}
name = "ada/distilled-cartpole-nd"
first = load_distilled(name).source.revision
print(len(load_distilled(name)), len(load_distilled(name, instances="min")))
print(len(load_distilled(f"{{name}}/2d-min")), len(load_distilled(name, dims=2, instances=3)))
dataset = load_distilled(name, instances=3)
dataset.targets *= 2
publish(dataset, name)
now = load_distilled(name, instances=3)
then = load_distilled(name, instances=3, revision=first)
print(torch.equal(now.targets, 2 * then.targets), then.source.revision == first)
source = load_distilled(str(now.source.location)).source
print(source == now.source)
print(main(["evaluate", name, "--instances", "min", "--learners", "2", "--episodes", "1"]))
""").splitlines()
    assert out[:4] == ["64 3", "3 3", "True True", "True"]
    assert out[-1] == "0"


def test_frames_and_encoders_travel(hub, client, toy, tmp_path):
    for level in (0, 3):
        toy(level).save(tmp_path / f"level{level}")
    out = client(f"""
for level in (0, 3):
    publish(rf"{tmp_path}/level{{level}}", "ada/distilled-pong")
for level in (0, 3):
    there = load_distilled("ada/distilled-pong", encoder_level=level)
    here = load_distilled(rf"{tmp_path}/level{{level}}")
    print(torch.equal(there.observations, here.observations), there.source.location)
    rows = here.observations
    print(torch.equal(there.train(seed=0)(rows), here.train(seed=0)(rows)))
print(sentence(load_distilled, "ada/distilled-pong", encoder_level=1))
import datasets
print(datasets.load_dataset("ada/distilled-pong", "level3")["train"].features["observation"])
""").splitlines()
    assert out[:4] == [
        "True ada/distilled-pong/level0",
        "True",
        "True ada/distilled-pong/level3",
        "True",
    ]
    assert "no variant with encoder_level=1; there are: pong-level0 (3 rows), pong-level3" in out[4]
    assert "Image(" in out[5]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ('"cartpole_2d", revision="main"', "SettingsError: A revision is of a Hub repo"),
        ('"ada/x", namespace="ada"', "SettingsError: ada/x has a namespace already"),
        ('"ada/x/y", dims=2', "SettingsError: ada/x/y is one variant"),
        ('"ada/x"', "HubError: There is no folder ada/x, and on the Hub: There is no dataset"),
        ('"./ada/x"', "DatasetError: There is no folder ./ada/x."),
        ('"ada/../x"', "HubError: There is no folder ada/../x"),
        ('"hopper", namespace="not a name"', "is no repo id"),
        ('"hoper", namespace="ada"', "DatasetError: There is no distilled dataset 'hoper'"),
    ],
)
def test_mistakes_get_a_sentence(client, call, expected):
    assert expected in client(f"print(sentence(load_distilled, {call}))")


def test_list_finds_published_repos_by_their_tag(hub, client):
    client(f'{TWO}\npublish(load_distilled("hopper-64"), "ada/distilled-hopper")')
    client('publish(load_distilled("ant-64"), "my-name/ants")', HF_TOKEN="hf_mine")
    client(
        'publish(load_distilled("ant-64"), "my-name/mine", private=True)',
        HF_TOKEN="hf_mine",
    )
    everything = client('main(["list", "--hub"])')
    assert re.search(r"^ada/distilled-cartpole-nd +2d-64, 2d-min ", everything, re.MULTILINE)
    assert "\nada/distilled-hopper " in everything
    assert "\nmy-name/ants " in everything
    assert "my-name/mine" not in everything
    mine = client('main(["list", "--hub", "--namespace", "my-name"])', HF_TOKEN="hf_mine")
    assert [line.split()[0] for line in mine.splitlines()[1:]] == ["my-name/ants", "my-name/mine"]
    asked = 'main(["list", "--hub", "--namespace", "my-name", "--json"])'
    records = json.loads(client(asked, HF_TOKEN="hf_mine"))
    assert [each["repo_id"] for each in records] == ["my-name/ants", "my-name/mine"]
    nobody = client('main(["list", "--hub", "--namespace", "bob"])')
    assert nobody == "The Hub has no distilled datasets of bob.\n"


def test_show_has_the_card_of_every_kind_of_dataset(hub, client):
    client(TWO)
    assert "hub ada/distilled-cartpole-nd" in client('main(["show", "ada/distilled-cartpole-nd"])')
    published = client('main(["show", "ada/distilled-cartpole-nd", "--card"])')
    assert (
        hub.repos["ada/distilled-cartpole-nd"].at("main").files["README.md"].content.decode()
        in published
    )
    for name in ("hopper-64", "./mine"):
        out = client(f"""
load_distilled("hopper-64").save("mine")
main(["show", "{name}", "--card"])
__import__("shutil").rmtree("mine")
""")
        assert "# Distilled Hopper-v5" in out
        assert 'load_distilled("<user>/distilled-hopper/64")' in out


def test_show_goes_without_a_card_where_there_is_none(
    stocked, client, fork_server, environment, tmp_path
):
    repo = stocked.repos["ada/distilled-hopper"]
    files = dict(repo.at("main").files)
    del files["README.md"]
    repo.commit("main", files, "no card")
    out = client('print(main(["show", "ada/distilled-hopper", "--card"]))')
    assert "(No card: ada/distilled-hopper" in out
    assert out.endswith("0\n")
    code = 'import sys; sys.modules["jinja2"] = None\n'
    code += 'from distilled_envs.cli import main; print(main(["show", "hopper-64", "--card"]))'
    done = fork_server.run(code, tmp_path, environment)
    assert "(No card: The Hugging Face Hub needs jinja2" in done.stdout
    assert done.stdout.endswith("0\n")


@pytest.mark.parametrize(
    "way",
    [
        {"HF_ENDPOINT": "http://127.0.0.1:9"},
        {"HF_ENDPOINT": "http://no-such-host.invalid"},
        {"HF_HUB_OFFLINE": "1"},
    ],
)
def test_list_says_within_seconds_that_there_is_no_way_to_the_hub(
    fork_server, environment, tmp_path, way
):
    code = "from distilled_envs.cli import main; main(['list', '--hub'])"
    started = time.monotonic()
    done = fork_server.run(code, tmp_path, environment | way)
    assert time.monotonic() - started < 5
    assert done.stderr.startswith("distilled-envs: The Hub can't be reached for the search: ")
    assert done.stderr.count("\n") == 1


def test_a_silent_hub_is_listed_no_longer_than_it_may_be(hub, fork_server, environment, tmp_path):
    hub.fault = lambda method, path: time.sleep(8)
    code = "from distilled_envs.cli import main; main(['list', '--hub'])"
    started = time.monotonic()
    done = fork_server.run(code, tmp_path, environment)
    assert time.monotonic() - started < 7
    assert "The Hub can't be reached for the search" in done.stderr
