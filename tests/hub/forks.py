"""Processes that start in a moment: forks of one that has imported all but the Hub's clients.

Those read the environment when they are imported, so each fork imports them by itself. Started as
a program, this file is the server that forks; :class:`Forks` is its other side.
"""

import contextlib
import json
import os
import socket
import socketserver
import subprocess
import sys
import tempfile
import traceback
from importlib.util import find_spec
from pathlib import Path
from typing import Any

EARLY = (
    "distilled_envs.cli.evaluate",
    "distilled_envs.cli.share",
    "distilled_envs.dataset",
    "distilled_envs.studies.figures",
    "jinja2",
    "matplotlib.backends.backend_agg",
    "matplotlib.ticker",
    "pandas",  # which pyarrow imports when it is there
    "tqdm.auto",
    "yaml",
)
EARLY += tuple(name for name in ("httpx", "httpx2") if find_spec(name) is not None)
LATE = ("huggingface_hub", "datasets", "distilled_envs.hub")


class Forks:
    """The server, started when it is entered."""

    def __enter__(self) -> "Forks":
        self._folder = tempfile.TemporaryDirectory()
        self._address = str(Path(self._folder.name, "socket"))
        self._server = subprocess.Popen(
            [sys.executable, __file__, self._address],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
        )
        assert self._server.stdout.readline() == b"ready\n"
        return self

    def __exit__(self, *error: object) -> None:
        self._server.terminate()
        self._server.communicate()
        self._folder.cleanup()

    def run(
        self, code: str, cwd: Path, environment: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run Python code in a process of its own, in some folder, with some more variables."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(300)
            connection.connect(self._address)
            request = {"code": code, "cwd": str(cwd), "environment": environment}
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer = connection.makefile().read()
        return subprocess.CompletedProcess(code, **json.loads(answer))


class _Handler(socketserver.StreamRequestHandler):
    """One connection, in a fork."""

    def handle(self) -> None:
        request = json.loads(self.rfile.readline())
        os.chdir(request["cwd"])
        os.environ |= request["environment"]
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            answer: dict[str, Any] = {"returncode": _run(request["code"])}
            for name, file in (("stdout", out), ("stderr", err)):
                file.seek(0)
                answer[name] = file.read().decode()
        self.wfile.write(json.dumps(answer).encode())


def _run(code: str) -> int:
    status = 0
    try:
        exec(compile(code, "<code>", "exec"), {"__name__": "__main__"})
    except BaseException:
        traceback.print_exc()
        status = 1
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    return status


class _Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    request_queue_size = 32

    def handle_error(self, request: Any, client_address: Any) -> None:
        traceback.print_exc()


def main(address: str) -> None:
    for name in EARLY:
        __import__(name)
    assert not set(LATE) & sys.modules.keys()
    with _Server(address, _Handler) as server:
        print("ready", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
