"""A Hugging Face Hub for datasets and Spaces on loopback: the protocol that the real clients speak.

It keeps repositories as commits of blobs, in memory, and answers what ``huggingface_hub`` 2 and
``datasets`` 5 ask when they create a repo, upload (regular files and git LFS's basic transfer),
commit, open a pull request, list, look up and download. Written after the clients' own source
(``_commit_api.py``, ``lfs.py``, ``hf_api.py``, ``file_download.py``).

Not here: Xet storage (tests set HF_HUB_DISABLE_XET), multi-part uploads, models, gated
repos, pagination, the dataset viewer.
"""

import base64
import hashlib
import json
import re
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"
REVISION = r"(?P<revision>[^/]+)"
LICENSES = ("mit", "apache-2.0", "bsd-3-clause", "cc-by-4.0", "cc0-1.0", "other")  # some of them
TIME = "2025-01-01T00:00:00.000Z"


@dataclass(frozen=True)
class Blob:
    """A file's content; large or binary ones are kept by LFS."""

    content: bytes
    lfs: bool

    @property
    def git_oid(self) -> str:
        pointer = (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\n"
            f"size {len(self.content)}\n"
        ).encode()
        content = pointer if self.lfs else self.content
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.git_oid


@dataclass(frozen=True)
class Commit:
    id: str
    parent: str | None
    files: dict[str, Blob]
    message: str


@dataclass
class Repo:
    private: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, ref: str, files: dict[str, Blob], message: str) -> Commit:
        parent = self.refs.get(ref, self.refs.get("main"))
        content = json.dumps([parent, message, {p: b.etag for p, b in sorted(files.items())}])
        commit = Commit(hashlib.sha1(content.encode()).hexdigest(), parent, files, message)
        self.commits[commit.id] = commit
        self.refs[ref] = commit.id
        return commit

    def at(self, revision: str) -> Commit | None:
        return self.commits.get(self.refs.get(revision, revision))

    def card(self) -> dict[str, Any]:
        readme = self.at("main").files.get("README.md")
        match = readme and re.match(rb"---\n(.*?)\n---\n", readme.content, re.S)
        return (yaml.safe_load(match[1]) or {}) if match else {}


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str, code: str | None = None, **headers: str):
        super().__init__(message)
        self.status, self.headers = status, headers
        if code:
            self.headers["X-Error-Code"] = code
        self.headers["X-Error-Message"] = message


@dataclass(frozen=True)
class Stall:
    """Half of a file's content, and then silence for so many seconds."""

    seconds: float


CUT = object()
"""No answer: the connection is cut."""


class LoopbackHub:
    """The server; use it as a context manager.

    Attributes:
        endpoint: Its address.
        cdn: The address that large files come from.
        users: User name by access token; ``readers`` of them may not write.
        repos: Repositories by id.
        fault: Called with method and path before each answer; may raise :class:`Refused`, or
            return bytes to send in the place of a file's content, a :class:`Stall`, or :data:`CUT`.
        requests: What was asked, as ``"METHOD path"``, in order.
    """

    def __init__(self):
        self.users = {"hf_writer": "ada", "hf_reader": "bob", "hf_mine": "my-name"}
        self.readers = {"bob"}
        self.repos: dict[str, Repo] = {}
        self.lfs: dict[str, bytes] = {}
        self.fault: Callable[[str, str], bytes | Stall | object | None] | None = None
        self.requests: list[str] = []
        self.lock = threading.RLock()
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self.cdn = f"http://localhost:{self._server.server_port}"

    def __enter__(self) -> "LoopbackHub":
        serve = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        serve.start()
        return self

    def __exit__(self, *error) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: LoopbackHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args) -> None:
        pass

    def do_GET(self) -> None:
        self._answer("GET")

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def _answer(self, method: str) -> None:
        url = urllib.parse.urlsplit(self.path)
        self.query = urllib.parse.parse_qs(url.query)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.instead = None
        self.kind = "spaces" if url.path.startswith("/api/spaces/") else "datasets"
        try:
            with self.hub.lock:
                self.hub.requests.append(f"{method} {url.path}")
                if self.hub.fault is not None:
                    self.instead = self.hub.fault(method, url.path)
                if self.instead is CUT:
                    self.close_connection = True
                    return
                for verb, pattern, answer in ROUTES:
                    match = re.fullmatch(pattern, url.path)
                    if match and method in verb.split():
                        parts = {
                            k: v and urllib.parse.unquote(v) for k, v in match.groupdict().items()
                        }
                        answer(self, **parts)
                        break
                else:
                    raise Refused(404, f"no route {method} {url.path}")
        except Refused as error:
            self._json({"error": str(error)}, error.status, **error.headers)
        try:
            self._write(*self.reply)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _send(self, status: int, body: bytes, kind: str, **headers: str) -> None:
        self.reply = status, body, kind, headers

    def _write(self, status: int, body: bytes, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            if "Content_Length" in headers and int(headers["Content_Length"]) != len(body):
                self.wfile.flush()
                if isinstance(self.instead, Stall):
                    time.sleep(self.instead.seconds)
                self.close_connection = True

    def _json(self, value: Any, status: int = 200, **headers: str) -> None:
        self._send(status, json.dumps(value).encode(), "application/json", **headers)

    # Who may do what.

    def _user(self) -> str | None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ").strip()
        if token and token not in self.hub.users:
            raise Refused(401, "Invalid username or password.")
        return self.hub.users.get(token)

    def _repo(self, name: str, *, write: bool = False) -> Repo:
        user = self._user()
        repo = self.hub.repos.get(name)
        if repo is None or (repo.private and user != name.split("/")[0]):
            status = 404 if user else 401  # the Hub does not tell strangers what exists
            raise Refused(status, "Repository not found", "RepoNotFound")
        if write and (user is None or user in self.hub.readers or user != name.split("/")[0]):
            raise Refused(403 if user else 401, "You don't have the rights to write here.")
        return repo

    def _commit(self, name: str, revision: str | None) -> Commit:
        commit = self._repo(name).at(revision or "main")
        if commit is None:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    # Answers.

    def whoami(self) -> None:
        user = self._user()
        if user is None:
            raise Refused(401, "Invalid username or password.")
        self._json({"type": "user", "name": user, "orgs": [], "auth": {}})

    def create(self) -> None:
        asked, user = json.loads(self.body), self._user()
        if user is None:
            raise Refused(401, "Invalid username or password.")
        owner = asked.get("organization") or user
        if owner != user or user in self.hub.readers:
            raise Refused(403, f"You don't have the rights to create a dataset under {owner}.")
        name = f"{owner}/{asked['name']}"
        page = {"url": f"{self.hub.endpoint}/{asked['type']}s/{name}"}
        if name in self.hub.repos:
            return self._json(page | {"error": "You already created this dataset repo"}, 409)
        private = asked.get("private") or asked.get("visibility") == "private"
        repo = self.hub.repos[name] = Repo(private=bool(private))
        repo.commit("main", {".gitattributes": Blob(b"*.parquet filter=lfs\n", False)}, "initial")
        self._json(page | {"name": name, "id": name})

    def validate_yaml(self) -> None:
        asked = json.loads(self.body)
        match = re.match(r"---\n(.*?)\n---\n", asked["content"], re.S)
        errors = []
        try:
            header = yaml.safe_load(match[1]) if match else {}
            if not isinstance(header, dict):
                errors.append("the header must be a mapping")
            elif not isinstance(header.get("tags", []), list):
                errors.append('"tags" must be an array')
            elif header.get("license", "mit") not in LICENSES:
                errors.append('"license" must be one of the Hub\'s identifiers')
        except yaml.YAMLError as error:
            errors.append(str(error))
        if errors:
            self._json({"errors": [{"message": e} for e in errors], "warnings": []}, 400)
        else:
            self._json({"errors": [], "warnings": []})

    def _info(self, name: str, commit: Commit) -> dict[str, Any]:
        card = self.hub.repos[name].card()
        return {
            "id": name,
            "author": name.split("/")[0],
            "sha": commit.id,
            "private": self.hub.repos[name].private,
            "gated": False,
            "disabled": False,
            "lastModified": TIME,
            "createdAt": TIME,
            "downloads": 0,
            "likes": 0,
            "tags": list(card.get("tags", [])),
            "cardData": card,
            "siblings": [
                {"rfilename": path} | (self._blob(blob) if "blobs" in self.query else {})
                for path, blob in sorted(commit.files.items())
            ],
        }

    @staticmethod
    def _blob(blob: Blob) -> dict[str, Any]:
        size = len(blob.content)
        record = {"size": size, "blobId": blob.git_oid}
        if blob.lfs:
            record["lfs"] = {"sha256": blob.sha256, "size": size, "pointerSize": 130}
        return record

    def info(self, repo: str, revision: str | None = None) -> None:
        self._json(self._info(repo, self._commit(repo, revision)))

    def search(self) -> None:
        user, found = self._user(), []
        for name, repo in sorted(self.hub.repos.items()):
            if repo.private and user != name.split("/")[0]:
                continue
            info = self._info(name, repo.at("main"))
            wanted = set(self.query.get("filter", []))
            authors = self.query.get("author", [info["author"]])
            if wanted <= set(info["tags"]) and info["author"] in authors:
                asked = {"id", *self.query.get("expand", info)}
                found.append({key: value for key, value in info.items() if key in asked})
        self._json(found)

    def refs(self, repo: str) -> None:
        heads = self._repo(repo).refs.items()
        branches = [{"name": n, "ref": f"refs/heads/{n}", "targetCommit": c} for n, c in heads]
        self._json({"branches": branches, "tags": [], "converts": [], "pullRequests": []})

    def _entries(self, commit: Commit, folder: str, recursive: bool) -> list[dict[str, Any]]:
        prefix = folder.rstrip("/") + "/" if folder else ""
        entries: dict[str, dict[str, Any]] = {}
        for path, blob in sorted(commit.files.items()):
            if not path.startswith(prefix):
                continue
            parents = path[len(prefix) :].split("/")[:-1]
            for depth in range(1, len(parents) + 1):
                name = prefix + "/".join(parents[:depth])
                oid = hashlib.sha1(name.encode()).hexdigest()
                if recursive or depth == 1:
                    entries[name] = {"type": "directory", "path": name, "oid": oid, "size": 0}
            if recursive or not parents:
                entries[path] = self._entry(path, blob)
        return list(entries.values())

    @staticmethod
    def _entry(path: str, blob: Blob) -> dict[str, Any]:
        size = len(blob.content)
        entry = {"type": "file", "path": path, "oid": blob.git_oid, "size": size}
        if blob.lfs:
            entry["lfs"] = {"oid": blob.sha256, "size": size, "pointerSize": 130}
        return entry

    def tree(self, repo: str, revision: str, path: str | None = None) -> None:
        commit = self._commit(repo, revision)
        recursive = self.query.get("recursive", ["false"])[0].lower() in ("true", "1")
        entries = self._entries(commit, path or "", recursive)
        if path and not entries:
            raise Refused(404, f"{path} does not exist", "EntryNotFound")
        self._json(entries, X_Repo_Commit=commit.id)

    def paths_info(self, repo: str, revision: str) -> None:
        commit = self._commit(repo, revision)
        asked = urllib.parse.parse_qs(self.body.decode())
        everything = {entry["path"]: entry for entry in self._entries(commit, "", True)}
        self._json([everything[p] for p in asked.get("paths", []) if p in everything])

    def preupload(self, repo: str, revision: str) -> None:
        creates_pr = "create_pr" in self.query
        files = self._repo(repo, write=not creates_pr).at(revision)
        if files is None:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        answers = []
        for asked in json.loads(self.body)["files"]:
            sample = base64.b64decode(asked["sample"])
            lfs = asked["path"].endswith(".parquet") or b"\0" in sample or asked["size"] > 10**7
            there = files.files.get(asked["path"])
            answers.append(
                {
                    "path": asked["path"],
                    "uploadMode": "lfs" if lfs else "regular",
                    "shouldIgnore": False,
                    "oid": there.etag if there is not None else None,
                }
            )
        self._json({"files": answers, "commitOid": files.id})

    def lfs_batch(self, repo: str) -> None:
        self._repo(repo)
        if self._user() is None:
            raise Refused(401, "Invalid username or password.")
        objects = []
        for asked in json.loads(self.body)["objects"]:
            answer = {"oid": asked["oid"], "size": asked["size"]}
            if asked["oid"] not in self.hub.lfs:
                href = f"{self.hub.endpoint}/lfs/{asked['oid']}"
                answer["actions"] = {
                    "upload": {"href": href, "header": {}},
                    "verify": {"href": f"{href}/verify", "header": {}},
                }
            objects.append(answer)
        self._json({"transfer": "basic", "objects": objects})

    def lfs_put(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise Refused(400, "The content does not have this hash.")
        self.hub.lfs[oid] = self.body
        self._send(200, b"", "text/plain")

    def lfs_verify(self, oid: str) -> None:
        if len(self.hub.lfs.get(oid, b"")) != json.loads(self.body)["size"]:
            raise Refused(404, "The object was not uploaded.")
        self._json({})

    def commit(self, repo: str, revision: str) -> None:
        creates_pr = "create_pr" in self.query
        kept = self._repo(repo, write=not creates_pr)
        head = kept.at(revision)
        if head is None:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        lines = [json.loads(line) for line in self.body.splitlines()]
        header, files = lines[0]["value"], dict(head.files)
        if header.get("parentCommit", head.id) != head.id:
            raise Refused(412, "A commit has happened since. Please refresh and try again.")
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = Blob(base64.b64decode(value["content"]), False)
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.hub.lfs:
                    raise Refused(400, f"LFS object {value['oid']} was not uploaded")
                files[value["path"]] = Blob(self.hub.lfs[value["oid"]], True)
            elif line["key"] == "deletedFile":
                del files[value["path"]]
            else:
                raise Refused(400, f"unknown operation {line['key']}")
        number = sum(ref.startswith("refs/pr/") for ref in kept.refs) + 1
        ref = f"refs/pr/{number}" if creates_pr else revision
        if creates_pr:
            kept.refs[ref] = head.id
        made = kept.commit(ref, files, header["summary"])
        page = f"{self.hub.endpoint}/{self.kind}/{repo}"
        answer = {"success": True, "commitOid": made.id, "commitUrl": f"{page}/commit/{made.id}"}
        if creates_pr:
            answer["pullRequestUrl"] = f"{page}/discussions/{number}"
        self._json(answer)

    def resolve(self, repo: str, revision: str, path: str) -> None:
        commit = self._commit(repo, revision)
        blob = commit.files.get(path)
        headers = {"X_Repo_Commit": commit.id}
        if blob is None:
            raise Refused(404, f"{path} does not exist", "EntryNotFound", **headers)
        headers |= {"ETag": f'"{blob.etag}"', "Accept_Ranges": "bytes"}
        if not blob.lfs:
            return self._file(blob.content, **headers)
        headers |= {"X_Linked_ETag": f'"{blob.sha256}"', "X_Linked_Size": str(len(blob.content))}
        # Large files come from another host, as on the Hub: clients must not send it their token.
        headers["Location"] = f"{self.hub.cdn}/cdn/{blob.sha256}"
        self.hub.lfs[blob.sha256] = blob.content
        self._send(302, b"", "text/plain", **headers)

    def cdn(self, oid: str) -> None:
        if self.headers.get("Authorization"):
            raise Refused(400, "A token was sent to the wrong host.")
        self._file(self.hub.lfs[oid], ETag=f'"{oid}"')

    def _file(self, content: bytes, **headers: str) -> None:
        status, length = 200, len(content)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if wanted:
            first, last = int(wanted[1]), int(wanted[2] or length - 1)
            content, status = content[first : last + 1], 206
            headers["Content_Range"] = f"bytes {first}-{last}/{length}"
        length = len(content)
        if isinstance(self.instead, Stall):
            content = content[: length // 2]
        elif self.instead is not None:
            content = self.instead
        self._send(
            status, content, "application/octet-stream", Content_Length=str(length), **headers
        )


API = rf"/api/(?:datasets|spaces)/{REPO}"
ROUTES = [
    ("GET", "/api/whoami-v2", _Handler.whoami),
    ("POST", "/api/repos/create", _Handler.create),
    ("POST", "/api/validate-yaml", _Handler.validate_yaml),
    ("GET", "/api/datasets", _Handler.search),
    ("GET", rf"{API}(?:/revision/{REVISION})?", _Handler.info),
    ("GET", rf"{API}/refs", _Handler.refs),
    ("GET", rf"{API}/tree/{REVISION}(?:/(?P<path>.+))?", _Handler.tree),
    ("POST", rf"{API}/paths-info/{REVISION}", _Handler.paths_info),
    ("POST", rf"{API}/preupload/{REVISION}", _Handler.preupload),
    ("POST", rf"{API}/commit/{REVISION}", _Handler.commit),
    ("POST", rf"/datasets/{REPO}\.git/info/lfs/objects/batch", _Handler.lfs_batch),
    ("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})", _Handler.lfs_put),
    ("POST", r"/lfs/(?P<oid>[0-9a-f]{64})/verify", _Handler.lfs_verify),
    ("GET HEAD", rf"/datasets/{REPO}/resolve/{REVISION}/(?P<path>.+)", _Handler.resolve),
    ("GET HEAD", r"/cdn/(?P<oid>[0-9a-f]{64})", _Handler.cdn),
]
