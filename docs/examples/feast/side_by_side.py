"""Feast's quickstart served by Feast and by Skewless: the same requests, what each answers, and how long it takes.

    python side_by_side.py [--seconds 5] [--clients 1] [--keep DIR]

Wants Feast 0.67 with what `feast listen` needs (docs/feast-store.md) in this Python's environment and `skewless` on the PATH; needs no network and no Docker. It makes a Feast
repo (`feast init`), materializes it, moves it (`skewless feast import`, `feast copy`), serves it by `feast serve`, `feast listen` and
`skewless serve` at once on loopback, and asks all of them. A load is a closed loop: a client asks, waits, and asks again, so the client's
own time (Python's) is part of each latency, and while one server is asked the others idle.
"""

import argparse
import contextlib
import http.client
import importlib.metadata
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime, timezone
from pathlib import Path

import grpc
import yaml
from feast.protos.feast.serving.GrpcServer_pb2_grpc import GrpcFeatureServerStub
from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesRequest
from feast.protos.feast.types.Value_pb2 import RepeatedValue, Value

HERE = Path(__file__).resolve().parent
SDK = HERE.parents[2] / "sdk" / "rust"
TRANSFORM = "transformed_conv_rate"
BOUND_S = 180  # far above what any machine needs to start
WARM_S = 1.0

DRIVERS = [1001, 1002, 1003, 1004, 1005]
NOBODY = 4711
STORED = [f"driver_hourly_stats:{name}" for name in ("conv_rate", "acc_rate", "avg_daily_trips")]
COMPUTED = [f"{TRANSFORM}:conv_rate_plus_val1", f"{TRANSFORM}:conv_rate_plus_val2"]


def requests():
    """What is asked for: a name, features, and columns."""

    def rows(drivers, computed):
        columns = {"driver_id": drivers}
        if computed:
            columns["val_to_add"] = [row for row, _ in enumerate(drivers)]
            columns["val_to_add_2"] = [10 * row for row, _ in enumerate(drivers)]
        return columns

    hundred = [DRIVERS[row % len(DRIVERS)] for row in range(100)]
    return [
        ("3 stored features, 1 row", STORED, rows(DRIVERS[:1], False)),
        ("3 stored features, 5 rows and nobody", STORED, rows([*DRIVERS, NOBODY], False)),
        ("3 stored and 2 computed, 1 row", STORED + COMPUTED, rows(DRIVERS[:1], True)),
        ("3 stored and 2 computed, 5 rows and nobody", STORED + COMPUTED, rows([*DRIVERS, NOBODY], True)),
        ("3 stored and 2 computed, 100 rows", STORED + COMPUTED, rows(hundred, True)),
    ]


class Http:
    """JSON over HTTP, one connection kept open."""

    def __init__(self, address):
        self.connection = http.client.HTTPConnection(address, timeout=BOUND_S)

    @staticmethod
    def prepare(features, columns):
        return json.dumps({"features": features, "entities": columns}).encode()

    def ask(self, body):
        until = time.monotonic() + BOUND_S
        while True:
            try:
                self.connection.request("POST", "/get-online-features", body, {"content-type": "application/json"})
                answer = self.connection.getresponse()
                text = answer.read()
                break
            except (ConnectionError, http.client.HTTPException):
                # `feast serve` ends its worker after 1,000 requests and starts another; who asks meanwhile asks again, as one would.
                self.connection.close()
                if time.monotonic() > until:
                    raise
        if answer.status != 200:
            raise RuntimeError(f"{answer.status} {text.decode()[:100]}")
        return text

    def columns(self, answer):
        answer = json.loads(answer)
        results = zip(answer["metadata"]["feature_names"], answer["results"])
        return {name: (of["values"], of["statuses"]) for name, of in results}


class Grpc:
    """Feast's GrpcFeatureServer."""

    def __init__(self, address):
        self.stub = GrpcFeatureServerStub(grpc.insecure_channel(address))

    @staticmethod
    def prepare(features, columns):
        request = GetOnlineFeaturesRequest()
        request.features.val.extend(features)
        for name, values in columns.items():
            request.entities[name].CopyFrom(RepeatedValue(val=[Value(int64_val=value) for value in values]))
        return request

    def ask(self, request):
        try:
            return self.stub.GetOnlineFeatures(request, timeout=BOUND_S)
        except grpc.RpcError as error:
            raise RuntimeError(f"{error.code().name} {error.details()[:100]}") from None

    def columns(self, answer):
        from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

        def plain(value):
            kind = value.WhichOneof("val")
            return None if kind is None else getattr(value, kind)

        return {
            name: ([plain(value) for value in of.values], [FieldStatus.Name(status) for status in of.statuses])
            for name, of in zip(answer.metadata.feature_names.val, answer.results)
        }


def run(words, **more):
    done = subprocess.run(words, capture_output=True, text=True, **more)
    if done.returncode != 0:
        sys.exit(f"error: {' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
    return done.stdout


def feast_repo(work):
    """Feast's quickstart, materialized."""
    run(["feast", "init", "--template", "local", "quickstart"], cwd=work)
    repo = work / "quickstart" / "feature_repo"
    run(["feast", "apply"], cwd=repo)
    run(["feast", "materialize-incremental", datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")], cwd=repo)
    return repo


def moved(work, repo):
    """The same for Skewless: definitions by the import, the on-demand view written as a plugin, rows copied later."""
    run(["skewless", "feast", "import", repo, "--out", work / "moved", "--sdk", SDK])
    ours = work / "moved"
    definitions = yaml.safe_load((ours / "features.yaml").read_text())
    for transform in definitions["transforms"]:
        if transform["name"] == TRANSFORM:
            # Feast hands a function all columns of its sources; the plugin takes what it uses.
            used = ("conv_rate", "val_to_add", "val_to_add_2")
            transform["inputs"] = {name: of for name, of in transform["inputs"].items() if name in used}
            (ours / "plugins" / TRANSFORM / "src" / "lib.rs").write_text((HERE / f"{TRANSFORM}.rs").read_text())
    (ours / "features.yaml").write_text(yaml.safe_dump(definitions, sort_keys=False))
    for transform in definitions["transforms"]:
        run(["skewless", "plugin", "build", f"plugins/{transform['name']}"], cwd=ours)
    run(["skewless", "check"], cwd=ours)
    return ours


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Servers:
    """Processes that end with this one."""

    def __init__(self, work):
        self.work, self.started = work, []

    def start(self, name, words, cwd, *addresses):
        log = open(self.work / f"{name}.log", "w")
        process = subprocess.Popen(words, cwd=cwd, stdout=log, stderr=log, start_new_session=True)
        self.started.append(process)
        until = time.monotonic() + BOUND_S
        for address in addresses:
            while True:
                with socket.socket() as trial:
                    if trial.connect_ex(("127.0.0.1", int(address.split(":")[1]))) == 0:
                        break
                if process.poll() is not None or time.monotonic() > until:
                    sys.exit(f"error: {name} didn't start:\n{(self.work / f'{name}.log').read_text()}")
                time.sleep(0.05)

    def stop(self):
        for process in self.started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.started:
            process.wait(BOUND_S)


def load(door, address, request, clients, seconds):
    """Latencies in seconds, sorted, and how long it took."""
    begin, latencies, mistakes = threading.Barrier(clients + 1), [[] for _ in range(clients)], []

    def client(mine):
        asking = door(address)
        until = time.perf_counter() + WARM_S
        try:
            while time.perf_counter() < until:
                asking.ask(request)
        except RuntimeError as error:
            mistakes.append(error)
        begin.wait()
        if mistakes:
            return
        until = time.perf_counter() + seconds
        while (now := time.perf_counter()) < until:
            asking.ask(request)
            mine.append(time.perf_counter() - now)

    threads = [threading.Thread(target=client, args=(mine,)) for mine in latencies]
    for thread in threads:
        thread.start()
    begin.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    if mistakes:
        raise mistakes[0]
    return sorted(latency for mine in latencies for latency in mine), time.perf_counter() - started


def answered(door, address, features, columns):
    asking = door(address)
    try:
        return asking.columns(asking.ask(asking.prepare(features, columns)))
    except RuntimeError as error:
        return str(error)


def told(theirs, ours):
    """How two answers differ, in some words."""
    if isinstance(theirs, str) or isinstance(ours, str):
        return " / ".join(f"{who}: {what}" for who, what in (("Feast", theirs), ("Skewless", ours)) if isinstance(what, str))
    if set(theirs) != set(ours):
        return f"columns {sorted(theirs)} and {sorted(ours)}"
    values = statuses = 0
    kinds = set()
    for name, (their_values, their_statuses) in theirs.items():
        our_values, our_statuses = ours[name]
        values += sum(1 for one, other in zip(their_values, our_values) if one != other)
        for one, other in zip(their_statuses, our_statuses):
            if one != other:
                statuses += 1
                kinds.add(f"{one} here {other}")
    said = "the same values" if not values else f"{values} values differ"
    return said + (f", {statuses} statuses differ ({', '.join(sorted(kinds))})" if statuses else ", the same statuses")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--seconds", type=float, default=5.0, help="of each load, after a second to warm up")
    arguments.add_argument("--clients", type=int, default=1, help="that ask at once, each in a thread")
    arguments.add_argument("--keep", type=Path, help="folder for both repos, which then stay")
    args = arguments.parse_args()
    # Feast's sample has times without a zone, of this machine's clock, and takes them for UTC.
    os.environ.update(TZ="UTC", FEAST_USAGE="False", PYTHONWARNINGS="ignore")
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    work = args.keep or Path(tempfile.mkdtemp(prefix="side-by-side-"))
    work.mkdir(parents=True, exist_ok=True)
    servers = Servers(work)
    try:
        side_by_side(work.resolve(), servers, args)
    finally:
        servers.stop()
        if args.keep is None:
            shutil.rmtree(work)


def side_by_side(work, servers, args):
    repo = feast_repo(work)
    ours = moved(work, repo)
    feast_http, feast_grpc, our_http, our_grpc = (f"127.0.0.1:{free_port()}" for _ in range(4))
    port = feast_http.split(":")[1]
    servers.start("feast-serve", ["feast", "serve", "--no-access-log", "-h", "127.0.0.1", "-p", port], repo, feast_http)
    servers.start("feast-listen", ["feast", "listen", "-a", feast_grpc], repo, feast_grpc)
    words = ["skewless", "serve", "--tcp", our_grpc, "--http", "", "--set", f"listen.feast_http={our_http}"]
    servers.start("skewless", words, ours, our_grpc, our_http)
    print(run(["skewless", "feast", "copy", "--from", f"sqlite://{repo}/data/online_store.db", "--at", our_grpc], cwd=ours))

    doors = [("HTTP", Http, feast_http, our_http), ("gRPC", Grpc, feast_grpc, our_grpc)]
    print("Answers, Feast's against Skewless's\n\n| asked for | by | answers |\n|---|---|---|")
    for name, features, columns in requests():
        for kind, door, theirs, mine in doors:
            compared = told(answered(door, theirs, features, columns), answered(door, mine, features, columns))
            print(f"| {name} | {kind} | {compared} |")

    versions = f"Feast {importlib.metadata.version('feast')}", run(["skewless", "--version"]).strip()
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    print(
        f"\nLatency: {versions[0]}; {versions[1]}; {machine}; {args.clients} client(s) in a closed loop for {args.seconds:g} s each, servers as "
        "they start by default (Feast with SQLite and one worker), client on the same machine\n"
    )
    print("| asked for | by | server | calls/s | p50 | p99 |\n|---|---|---|---|---|---|")
    for name, features, columns in requests():
        for kind, door, theirs, mine in doors:
            request = door.prepare(features, columns)
            for server, address in (("Feast", theirs), ("Skewless", mine)):
                try:
                    latencies, took = load(door, address, request, args.clients, args.seconds)
                except RuntimeError as error:
                    print(f"| {name} | {kind} | {server} | {error} | | |")
                    continue
                p50, p99 = (1000 * latencies[int(part * (len(latencies) - 1))] for part in (0.5, 0.99))
                print(f"| {name} | {kind} | {server} | {len(latencies) / took:.0f} | {p50:.2f} ms | {p99:.2f} ms |", flush=True)


main()
