"""Troubles, one at a time: each ends in a correct result or in one sentence."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from loopback import CUT, Blob, Refused, Stall

pytestmark = pytest.mark.hub

LOAD = 'print(sentence(load_distilled, "ada/distilled-hopper"))'


class Once:
    """A fault that strikes the first request of a kind."""

    def __init__(self, status: int, where: str, **headers: str):
        self.left, self.where = Refused(status, "for a moment", **headers), where

    def __call__(self, method, path):
        if self.left and self.where in path:
            struck, self.left = self.left, None
            raise struck


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize("where", ["/api/datasets/", "/resolve/"])
def test_troubles_that_pass_are_sat_out(stocked, client, status, where):
    stocked.fault = Once(status, where, **({"Retry_After": "1"} if status == 429 else {}))
    assert "True" in client("""
loaded = DistilledDataset.load(download("ada/distilled-hopper")[0])
print(torch.equal(loaded.targets, load_distilled("hopper-64").targets))
""")
    assert stocked.fault.left is None


@pytest.mark.parametrize("status", [429, 500])
@pytest.mark.parametrize(
    "where", ["/commit/", "/preupload/", "/validate-yaml", "/api/repos/create"]
)
def test_publishing_sits_out_troubles_too(hub, client, status, where):
    hub.fault = Once(status, where, **({"Retry_After": "1"} if status == 429 else {}))
    code = 'print(sentence(publish, load_distilled("hopper-64"), "ada/distilled-hopper"))'
    assert client(code) == "no error\n"
    assert hub.fault.left is None
    assert len(hub.repos["ada/distilled-hopper"].commits) == 2


def test_a_hub_that_says_nothing_is_not_waited_for(stocked, client):
    load = 'print(load_distilled("hopper-64", namespace="ada").source.kind)'
    assert client(load) == "hub\n"
    stocked.fault = lambda method, path: time.sleep(3)
    assert client(load, HF_HUB_ETAG_TIMEOUT="1") == "hub\n"
    assert client(load.replace("hopper", "ant"), HF_HUB_ETAG_TIMEOUT="1") == "bundled\n"


def test_troubles_of_xet_are_the_hubs(client):
    out = client("""
from distilled_envs.hub.clients import explained
def fetch():
    with explained("ada/x"):
        raise RuntimeError("Task error: error sending request")
print(sentence(fetch))
""")
    assert out.startswith("HubUnreachableError: The Hub can't be reached for ada/x: Task error")


def test_repos_made_to_do_harm(stocked, client, tmp_path):
    repo = stocked.repos["ada/distilled-hopper"]
    files = repo.at("main").files
    spec = files["64/distillation.json"]
    outside = dict.fromkeys(("../x/distillation.json", "a/b/distillation.json"), spec)
    repo.commit("main", files | outside, "paths")
    assert client(LOAD) == "no error\n"
    assert not list(tmp_path.rglob("x/distillation.json"))
    for change, what in (
        ((b'"seed": 0', b'"seed": ' + b"9" * 5000), "is not JSON"),
        ((b'"seed": 0', b'"seed": NaN'), "NaN is no finite number"),
        ((b'"name": "hopper-64"', b'"name": "hopper-\\u001b[2J"'), "name can't be"),
        ((b'"hidden_sizes": [\n      64', b'"hidden_sizes": [\n      200000'), "hidden_sizes"),
        (
            (b'"evaluation": {', b'"evaluation": {"x": {"greedy": {"mean": []}},'),
            "greedy.mean can't",
        ),
    ):
        changed = spec.content.replace(*change, 1)
        assert changed != spec.content, change
        bad = files | {"64/distillation.json": Blob(changed, False)}
        repo.commit("main", bad, "spec")
        assert what in client(LOAD)
    repo.commit("main", files | {"64/train.parquet": Blob(b"x" * 2000, True)}, "rows")
    assert "has changed" in client(LOAD) or "not readable" in client(LOAD)
    big = (
        'print(sentence(DistilledDataset.load, download("ada/distilled-hopper")[0], max_bytes=99))'
    )
    repo.commit("main", files, "as it was")
    assert "and the limit is" in client(big)


def test_an_odd_card_hides_no_other_repo(stocked, client):
    repo = stocked.repos["ada/distilled-hopper"]
    card = Blob(b"---\ntags: [distilled-envs]\nself: 1\n---\n", False)
    repo.commit("main", repo.at("main").files | {"README.md": card}, "odd")
    listed = client('main(["list", "--hub"])')
    assert "ada/distilled-hopper " in listed
    assert "ada/distilled-cartpole-nd " in listed
    assert "HubError" in client(LOAD)  # the client can't read what the Hub says of it


@pytest.mark.parametrize("damage", [b"", b"half a file", "changed"])
def test_damaged_downloads_never_become_a_dataset(stocked, client, damage):

    def fault(method, path):
        if "/cdn/" in path:
            content = stocked.lfs[path.rsplit("/", 1)[1]]
            return content[:-1] + bytes([content[-1] ^ 1]) if damage == "changed" else damage

    stocked.fault = fault
    load = 'DistilledDataset.load(download("ada/distilled-hopper")[0])'
    out = client(f"print(sentence(lambda: {load}))")
    assert out.startswith(("Hub", "DatasetError"))
    stocked.fault = None
    assert "11" in client(f"print({load}.observations.shape[1])")  # the next download mends it


def test_without_a_network_the_cache_serves(stocked, client):
    load = 'print(download("ada/distilled-hopper", "64")[1])'
    online = client(load)
    assert client(load, HF_HUB_OFFLINE="1") == online
    assert client(load, HF_ENDPOINT="http://127.0.0.1:9") == online
    for way in ({"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}):
        out = client('print(sentence(download, "ada/distilled-ant", "64"))', **way)
        assert "not in the cache, and the Hub can't be reached" in out
    out = client(
        'print(sentence(download, "ada/distilled-ant", "64"))',
        HF_ENDPOINT="http://no-such-host.invalid",  # a name that no server knows
    )
    assert "not in the cache, and the Hub can't be reached" in out


def test_a_download_that_stalls_is_taken_up_again(stocked, client):
    left = [True]

    def fault(method, path):
        if method == "GET" and "/cdn/" in path and left:
            left.clear()
            return Stall(seconds=4)

    stocked.fault = fault
    assert client(LOAD, HF_HUB_DOWNLOAD_TIMEOUT="1") == "no error\n"
    assert not left


def test_a_download_that_always_stalls_ends_with_a_sentence(stocked, client, tmp_path):
    stocked.fault = lambda method, path: Stall(1.5) if method == "GET" and "/cdn/" in path else None
    out = client(LOAD, HF_HUB_DOWNLOAD_TIMEOUT="1")
    assert out.startswith("Hub")
    assert not list((tmp_path / "home").rglob("snapshots/**/train.parquet"))
    stocked.fault = None
    assert client(LOAD) == "no error\n"


def test_a_changed_spec_is_not_believed(stocked, client):
    spec = stocked.repos["ada/distilled-hopper"].at("main").files["64/distillation.json"].content

    def fault(method, path):
        if method == "GET" and path.endswith("/64/distillation.json"):
            return spec.replace(b'"seed": 0', b'"seed": 1')

    stocked.fault = fault
    assert "64/distillation.json arrives damaged" in client(LOAD)
    stocked.fault = None
    assert client(LOAD) == "no error\n"


def test_a_hub_that_is_down_leaves_the_repo_as_it_was(stocked, client):
    before = dict(stocked.repos["ada/distilled-hopper"].commits)

    def fault(method, path):
        if "/commit/" in path:
            raise Refused(500, "out of order")

    stocked.fault = fault
    change = """
dataset = load_distilled("hopper-64"); dataset.targets *= 2
print(sentence(publish, dataset, "ada/distilled-hopper"))
"""
    assert "answers with status 500 for ada/distilled-hopper" in client(change)
    assert stocked.repos["ada/distilled-hopper"].commits == before
    stocked.fault = None
    assert client(change) == "no error\n"
    assert len(stocked.repos["ada/distilled-hopper"].commits) == len(before) + 1


def test_two_who_publish_at_once_lose_nothing(stocked, client):
    repo = stocked.repos["ada/distilled-cartpole-nd"]

    def fault(method, path):  # somebody else's commit comes between
        if "/commit/" in path:
            repo.commit("main", repo.at("main").files | {"x": Blob(b"", False)}, "theirs")

    stocked.fault = fault
    code = 'print(sentence(publish, load_distilled("cartpole_3d"), "ada/distilled-cartpole-nd"))'
    assert "somebody else has changed it meanwhile: publish again" in client(code)
    stocked.fault = None
    assert client(code) == "no error\n"
    assert {"x", "3d-64/train.parquet", "2d-64/train.parquet"} <= repo.at("main").files.keys()


def test_a_reader_may_not_write(stocked, client):
    before = dict(stocked.repos["ada/distilled-hopper"].commits)
    code = """
dataset = load_distilled("hopper-64"); dataset.targets *= 2
print(sentence(publish, dataset, "ada/distilled-hopper"))
"""
    assert "this token may not write there" in client(code, HF_TOKEN="hf_reader")
    assert stocked.repos["ada/distilled-hopper"].commits == before
    assert client(LOAD, HF_TOKEN="hf_reader") == "no error\n"
    assert "the token is not valid" in client(LOAD, HF_TOKEN="hf_wrong")


def test_a_card_of_somebody_elses_making(stocked, client):
    repo = stocked.repos["ada/distilled-cartpole-nd"]
    for text in (b"# Mine\n", b"---\ntags: [distilled-envs]\nconfigs: 3\n---\n", b"\xff"):
        repo.commit("main", repo.at("main").files | {"README.md": Blob(text, False)}, "a card")
        assert client('print(len(load_distilled("ada/distilled-cartpole-nd")))') == "64\n"
        listed = client('main(["list", "--hub"])')
        assert ("ada/distilled-cartpole-nd " in listed) == (b"tags" in text)
        shown = client('print(main(["show", "ada/distilled-cartpole-nd", "--card"]))')
        assert shown.endswith("0\n")
        assert ("(No card: " in shown) == (text == b"\xff")
    client('publish(load_distilled("cartpole_2d", instances=3), "ada/distilled-cartpole-nd")')
    names = [each["config_name"] for each in repo.card()["configs"]]
    assert names == ["2d-64", "2d-min"]


def test_a_newer_format_is_refused_by_name(stocked, client):
    repo = stocked.repos["ada/distilled-cartpole-nd"]
    name = "2d-64/distillation.json"
    newer = (
        repo.at("main").files[name].content.replace(b'"format_version": 1', b'"format_version": 2')
    )
    repo.commit("main", repo.at("main").files | {name: Blob(newer, False)}, "newer")
    before = dict(repo.commits)
    for code in (
        'load_distilled, "ada/distilled-cartpole-nd"',
        'load_distilled, "cartpole_2d", namespace="ada"',
        'publish, load_distilled("cartpole_3d"), "ada/distilled-cartpole-nd"',
    ):
        out = client(f"print(sentence({code}))")
        assert "format" in out
        assert "2" in out
        assert len(out.splitlines()) == 1
    assert repo.commits == before


def test_a_full_disk_leaves_no_half_file(stocked, client, tmp_path):
    full = """
import resource  # the kernel refuses to write files of more than 2,000 bytes
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
"""
    assert "can't be written here" in client(full + LOAD)
    assert not list((tmp_path / "home").rglob("snapshots/**/*.*"))
    assert client(LOAD) == "no error\n"


@pytest.mark.slow
def test_processes_that_load_at_once_all_succeed(stocked, client):
    """From a cache that is empty at first, and then again from the one that they filled."""
    load = """
loaded = load_distilled("ada/distilled-cartpole-nd")
policy = loaded.train(seed=0)
print(loaded.source.kind, loaded.evaluate(policy, episodes=1).greedy.mean > 100)
"""
    for _ in range(2):
        with ThreadPoolExecutor(10) as pool:
            assert list(pool.map(client, [load] * 10)) == ["hub True\n"] * 10


STATUSES = {
    401: "the token is not valid: run `hf auth login`",
    403: "this token may not {verb} there",
    404: "",
    409: "the answer of a test",
    429: "too many requests: try again in some minutes",
    500: "the answer of a test",
}


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("verb", ["read", "write"])
def test_every_answer_of_the_hub_is_one_sentence(stocked, client, status, verb):
    def fault(method, path):
        reads = method in ("GET", "HEAD")
        if (reads and "/resolve/" in path) if verb == "read" else "/commit/" in path:
            raise Refused(status, "the answer of a test")

    stocked.fault = fault
    before = dict(stocked.repos["ada/distilled-hopper"].commits)
    code = LOAD
    if verb == "write":
        code = """
dataset = load_distilled("hopper-64"); dataset.targets *= 2
print(sentence(publish, dataset, "ada/distilled-hopper"))
"""
    out = client(code)
    assert out.startswith("Hub")
    assert out.count("\n") == 1
    assert STATUSES[status].format(verb=verb) in out
    if status != 404:
        assert f"status {status}" in out
    assert stocked.repos["ada/distilled-hopper"].commits == before
    stocked.fault = None
    assert client(code) == "no error\n"


@pytest.mark.parametrize("where", ["/api/datasets/", "/resolve/", "/preupload/", "/commit/"])
def test_a_connection_that_is_cut_is_one_sentence(stocked, client, where):
    stocked.fault = lambda method, path: CUT if where in path else None
    code = """
dataset = load_distilled("hopper-64"); dataset.targets *= 2
print(sentence(publish, dataset, "ada/distilled-hopper"))
"""
    code = code if where in ("/preupload/", "/commit/") else LOAD
    out = client(code)
    assert out.startswith("HubUnreachableError: ")
    assert out.count("\n") == 1
    stocked.fault = None
    assert client(code) == "no error\n"


@pytest.mark.parametrize("where", ["/preupload/", "/commit/"])
def test_a_publication_that_stalls_ends(stocked, client, where):
    stocked.fault = lambda method, path: time.sleep(3) if where in path else None
    started = time.monotonic()
    out = client("""
from distilled_envs.hub import clients
clients.SILENCE = 0.5
dataset = load_distilled("hopper-64"); dataset.targets *= 2
print(sentence(publish, dataset, "ada/distilled-hopper"))
""")
    assert out.startswith("HubUnreachableError: The Hub can't be reached for ada/distilled-hopper")
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("after", ["distillation.json", "train.parquet"])
def test_a_cache_that_is_removed_meanwhile(stocked, client, after):
    out = client(f"""
import os, shutil
from distilled_envs.hub import downloading
fetch = downloading.hf_hub_download
def removing(repo_id, name, **how):
    path = fetch(repo_id, name, **how)
    if name.endswith({after!r}):
        shutil.rmtree(os.environ["HF_HOME"])
    return path
downloading.hf_hub_download = removing
{LOAD}""")
    assert out.count("\n") == 1
    assert "Error: " in out
    assert client(LOAD) == "no error\n"
