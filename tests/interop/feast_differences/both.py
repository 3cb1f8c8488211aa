"""Feast's own servers and a sidecar, with the same definitions and rows."""

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import yaml
from sidecar import BOUND_S, Sidecar

HERE = Path(__file__).parent


def post(address, path, body):
    """The status and the body of an answer."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{address}{path}", text, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=BOUND_S) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        said = error.read()
        try:
            return error.code, json.loads(said)
        except ValueError:
            return error.code, said.decode()


def columns(answer):
    """`name: (values, statuses)` of an answer of /get-online-features."""
    status, body = answer
    assert status == 200, answer
    return {name: (of["values"], of["statuses"]) for name, of in zip(body["metadata"]["feature_names"], body["results"])}


class Side:
    """Somebody who answers Feast's calls."""

    http: str
    grpc: str

    def ask(self, features, **entities):
        named = {"feature_service": features} if isinstance(features, str) else {"features": features}
        return post(self.http, "/get-online-features", {**named, "entities": entities})

    def channel(self):
        return grpc.insecure_channel(self.grpc)


class Theirs(Side):
    """`feast serve` and `feast listen` of a Feast repo."""

    def __init__(self, repo):
        self.repo, self.started = repo, []
        self.http = self._start("serve", "--no-access-log", "--host", "127.0.0.1", "--port")
        self.grpc = self._start("listen", "--address")
        for address in (self.http, self.grpc):
            self._until_open(address)

    def _start(self, command, *flags):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        address = f"127.0.0.1:{port}"
        where = str(port) if command == "serve" else address
        log = open(self.repo / f"{command}.log", "w")
        words = ["feast", command, *flags, where]
        self.started.append(subprocess.Popen(words, cwd=self.repo, stdout=log, stderr=log, start_new_session=True))
        return address

    def _until_open(self, address):
        host, port = address.split(":")
        until = time.monotonic() + BOUND_S
        while time.monotonic() < until and all(process.poll() is None for process in self.started):
            with socket.socket() as trial:
                if trial.connect_ex((host, int(port))) == 0:
                    return
            time.sleep(0.1)
        said = "".join((self.repo / f"{of}.log").read_text() for of in ("serve", "listen"))
        raise AssertionError(f"Feast's server at {address} didn't start:\n{said}")

    def stop(self):
        for process in self.started:
            # Its workers with it.
            os.killpg(process.pid, 15)
        for process in self.started:
            process.wait(BOUND_S)


class Ours(Side):
    """A sidecar."""

    def __init__(self, repo):
        self.repo = repo
        self.sidecar = Sidecar(repo, "--set", "listen.feast_http=127.0.0.1:0")
        self.http, self.grpc = self.sidecar.feast_http, self.sidecar.address

    def stop(self):
        self.sidecar.stop()


def feast_repo(folder, online=None, registry=None):
    """A Feast repo with definitions.py, to be applied."""
    folder.mkdir()
    (folder / "feature_store.yaml").write_text(
        yaml.safe_dump(
            {
                "project": "differences",
                "registry": registry or "registry.db",
                "provider": "local",
                "entity_key_serialization_version": 3,
                "online_store": online or {"type": "sqlite", "path": "online.db"},
            }
        )
    )
    (folder / "definitions.py").write_text((HERE / "definitions.py").read_text())
    return folder
