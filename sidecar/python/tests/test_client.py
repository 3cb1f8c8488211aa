"""`skewless.Client`: what `skewless get` shows, from threads, forks and asyncio; and what a sidecar refuses."""

import asyncio
import concurrent.futures
import datetime
import json
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import threading

import numpy
import pandas
import polars
import pytest
import skewless
from conftest import command

ROWS = [{"customer_id": 7, "amount": 120.0}, {"customer_id": 8, "amount": 15.5}, {"customer_id": 99, "amount": 40}]


@pytest.fixture(params=["tcp", "unix"])
def client(request, sidecar):
    return skewless.Client(sidecar[request.param])


def test_it_gets_what_the_command_gets(client):
    words = ["customer_id=7", "customer_id=8", "customer_id=99", "-r", "amount=120", "-r", "amount=15.5", "-r", "amount=40"]
    expected = json.loads(command("get", "order_risk", *words, "--json", "--at", client.address))
    answer = client.get("order_risk", ROWS)
    assert answer.to_dicts() == [row["features"] for row in expected["rows"]]
    assert answer.fingerprint == expected["provenance"]["service_fingerprint"]
    missing = [{name: words[row] for name, words in answer.statuses.items() if words[row] != "PRESENT"} for row in range(3)]
    assert missing == [row["missing"] for row in expected["rows"]]
    times = answer.event_times["customer_orders"]
    assert times[2] is None and times[0].isoformat().replace("+00:00", "Z") == expected["rows"][0]["event_times"]["customer_orders"]
    assert abs(answer.time - datetime.datetime.now(datetime.timezone.utc)) < datetime.timedelta(minutes=5)
    assert client.services() == ["order_risk"] and client.views() == ["customer_orders"]
    assert client.features("order_risk") == answer.columns


def test_it_takes_every_kind_of_rows(client):
    expected = client.get("order_risk", ROWS).to_arrow()
    frame = pandas.DataFrame(ROWS)
    for rows in [frame, polars.DataFrame(ROWS, strict=False), skewless.Frame(frame), iter(ROWS), tuple(ROWS)]:
        assert client.get("order_risk", rows).to_arrow().equals(expected), type(rows)
    assert client.get("order_risk", ROWS[0]).to_arrow().equals(expected.slice(0, 1))
    again = pickle.loads(pickle.dumps(client.get("order_risk", ROWS)))
    assert again.statuses["basket.ratio"] == ["PRESENT", "PRESENT", "NULL_VALUE"]


def test_a_matrix_is_the_same_as_float32(client):
    answer = client.get("order_risk", ROWS).to_pandas().astype("float64")
    matrix = client.matrix("order_risk", ROWS)
    assert matrix.dtype == numpy.float32 and matrix.shape == (3, len(client.features("order_risk")))
    numpy.testing.assert_array_equal(matrix, answer.to_numpy().astype("float32"))
    assert numpy.isnan(matrix[2, 1])


def test_what_is_served_is_what_is_backfilled(client, repo):
    """To the last bit: the reason for all this."""
    customers = [{"customer_id": key, "amount": 10.0 * key} for key in range(1, 51)]
    served = client.get("order_risk", customers)
    rows = [{**row, "event_timestamp": served.time} for row in customers]
    trained = repo.preview("order_risk", rows)
    assert served.fingerprint == trained.report.fingerprint
    for name in served.columns:
        pair = served[name], trained[name]
        assert [exact(value) for value in pair[0]] == [exact(value) for value in pair[1]], name


def exact(value):
    return struct.pack("<d", value) if isinstance(value, float) else value


def test_what_it_lacks_or_doesnt_know_is_named(client):
    for rows, said in [
        ([{"customer": 7, "amount": 1.0}], "row 0 (counted from 0): service `order_risk` has no column `customer`"),
        ([{"customer_id": 7}], "none for `amount`"),
        ([{"customer_id": 7.5, "amount": 1.0}], "`customer_id`: expected int64, came float `7.5`"),
        (pandas.DataFrame({"customer_id": [7], "amuont": [1.0]}), "`amount` (float64), came none (did you mean `amuont`?)"),
        (pandas.DataFrame({"customer_id": ["7"], "amount": [1.0]}), "column `customer_id`: expected int64, came"),
        (7, "expected rows or a frame, came int"),
        (None, "expected rows or a frame, came NoneType"),
        (polars.DataFrame(ROWS, strict=False).lazy(), "expected rows or a frame, came LazyFrame"),
        ([{5: 1}], "row 0 (counted from 0): expected names that are text, came int `5`"),
    ]:
        with pytest.raises(skewless.InputError) as error:
            client.get("order_risk", rows)
        assert said in str(error.value)
    with pytest.raises(skewless.SidecarError, match="did you mean `order_risk`") as error:
        client.get("order_rsk", ROWS)
    assert error.value.code == "NOT_FOUND"
    with pytest.raises(skewless.SidecarError, match="limits.rows_max") as error:
        client.get("order_risk", ROWS * 2_000)
    assert error.value.code == "RESOURCE_EXHAUSTED" and error.value.retry_after_ms is None
    again = pickle.loads(pickle.dumps(error.value))
    assert (again.code, str(again)) == (error.value.code, str(error.value))
    for timeout in (-1, 0, 1e300, float("nan")):
        with pytest.raises(skewless.InputError, match="expected a timeout of more than 0 s and at most 86400 s"):
            client.get("order_risk", ROWS, timeout=timeout)


def test_columns_that_it_doesnt_want_may_be_anything(client):
    expected = client.get("order_risk", ROWS).to_arrow()
    frame = pandas.DataFrame(ROWS)
    frame["note"] = pandas.Series([object(), 1 + 2j, "a"], dtype=object)
    assert client.get("order_risk", frame).to_arrow().equals(expected)
    now = datetime.datetime.now(datetime.timezone.utc)
    sent = pandas.DataFrame({"customer_id": [400_000], "orders": [1], "event_timestamp": [now], "note": [object()]})
    assert sum(client.ingest("customer_orders", sent)[:4]) == 1


def test_of_no_rows_there_are_no_features(client):
    for rows in ([], pandas.DataFrame(ROWS).iloc[:0]):
        answer = client.get("order_risk", rows)
        assert len(answer) == 0 and answer.columns == client.features("order_risk")


def test_rows_that_are_sent_are_seen(client):
    now = datetime.datetime.now(datetime.timezone.utc)
    key = 100_000 if client.address.startswith("unix") else 200_000
    rows = [{"customer_id": key + at, "orders": at, "event_timestamp": now} for at in range(3)]
    assert client.ingest("customer_orders", rows)[:4] == (3, 0, 0, 0)
    seen = client.get("order_risk", [{"customer_id": key + 2, "amount": 1.0}]).to_dicts()[0]
    assert (seen["customer_orders.orders"], seen["customer_orders.spent"]) == (2, None)
    older = now - datetime.timedelta(days=1)
    frame = pandas.DataFrame({"customer_id": [key], "orders": [9], "at": [older], "known": [older]})
    sent = client.ingest("customer_orders", frame, event_timestamp="at", created_timestamp="known")
    assert sent.stale == 1 and sent.applied == 0
    for rows, said in [
        (frame, "`event_timestamp` (timestamp), came none"),
        (frame.rename(columns={"at": "event_timestamp", "orders": "ordrs"}), "did you mean `ordrs`"),
        (pandas.DataFrame({"customer_id": [1, 2], "event_timestamp": [now, pandas.NaT]}),
         "column `event_timestamp`, row 1 (counted from 0): expected a time, came null"),
    ]:
        with pytest.raises(skewless.InputError) as error:
            client.ingest("customer_orders", rows)
        assert said in str(error.value)


def test_rows_that_are_sent_are_counted_over_the_whole_frame(client):
    """A frame goes in several messages."""
    now = datetime.datetime.now(datetime.timezone.utc)
    keys = pandas.Series(range(500_000, 510_000), dtype="Int64")
    frame = pandas.DataFrame({"customer_id": keys, "event_timestamp": now})
    frame.loc[9_000, "customer_id"] = pandas.NA
    with pytest.raises(skewless.InputError, match="`customer_id`, row 9000 .counted from 0.: expected a key, came null") as error:
        client.ingest("customer_orders", frame)
    assert "give the row a key" in error.value.next_step
    # What the sidecar refuses, it counts in its message.
    frame = pandas.DataFrame({"customer_id": range(500_000, 510_000), "event_timestamp": now.replace(tzinfo=None)})
    frame["event_timestamp"] = frame["event_timestamp"].astype("datetime64[us]")
    frame.loc[9_000, "event_timestamp"] = pandas.Timestamp(-(2**62), unit="us")
    with pytest.raises(skewless.SkewlessError, match="row 9000|counted from row 8192 of yours"):
        client.ingest("customer_orders", frame)


def test_many_threads_share_a_client(client):
    expected = client.get("order_risk", ROWS).to_dicts()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: client.get("order_risk", ROWS).to_dicts(), range(200)))
    assert all(answer == expected for answer in answers)


def test_asyncio_awaits_it(sidecar):
    async def ask():
        async with skewless.AsyncClient(sidecar["tcp"]) as client:
            answers = await asyncio.gather(*(client.get("order_risk", ROWS) for _ in range(50)))
            matrix = await client.matrix("order_risk", ROWS)
            return answers, matrix, await client.services()

    answers, matrix, services = asyncio.run(ask())
    expected = skewless.Client(sidecar["tcp"]).get("order_risk", ROWS)
    assert all(answer.to_dicts() == expected.to_dicts() for answer in answers)
    assert matrix.shape == (3, 6) and services == ["order_risk"]


@pytest.fixture
def unanswering():
    """Takes connections and answers nothing, but tells of calls that begin and are reset: HTTP/2's frames 1 and 3."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        seen = {1: threading.Semaphore(0), 3: threading.Semaphore(0)}

        def serve(taken):
            with taken, taken.makefile("rb") as bytes:
                # Their preface; then ours: an empty SETTINGS.
                bytes.read(24)
                taken.sendall(b"\0\0\0\4\0\0\0\0\0")
                while head := bytes.read(9):
                    bytes.read(int.from_bytes(head[:3], "big"))
                    if head[3] in seen:
                        seen[head[3]].release()

        def take():
            try:
                while True:
                    threading.Thread(target=serve, args=[server.accept()[0]], daemon=True).start()
            except OSError:
                pass

        threading.Thread(target=take, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}", seen[1], seen[3]


def test_a_call_that_is_cancelled_ends_at_the_sidecar_and_keeps_nothing(unanswering):
    """Of as many as may be under way, so that the next one would wait for what they hold."""
    address, begun, reset = unanswering

    async def ask():
        async with skewless.AsyncClient(address, timeout=60, calls_max=2) as client:
            for _ in range(3):
                calls = [asyncio.ensure_future(client.services()) for _ in range(2)]
                for call in calls:
                    assert await asyncio.to_thread(begun.acquire, timeout=30)
                for call in calls:
                    call.cancel()
                ended = await asyncio.gather(*calls, return_exceptions=True)
                assert [type(one) for one in ended] == [asyncio.CancelledError] * 2
                for call in calls:
                    assert await asyncio.to_thread(reset.acquire, timeout=30)

    asyncio.run(asyncio.wait_for(ask(), 60))


def test_ctrl_c_ends_a_process_whose_calls_wait(silent):
    code = f"""
import asyncio, skewless
async def ask():
    async with skewless.AsyncClient({silent!r}, timeout=600) as client:
        call = asyncio.ensure_future(client.services())
        await asyncio.sleep(0)
        print("go", flush=True)
        await call
asyncio.run(ask())
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        assert job.stdout.readline() == "go\n"
        job.send_signal(signal.SIGINT)
        _, said = job.communicate(timeout=60)
    assert "KeyboardInterrupt" in said, said


def test_a_closed_client_says_so(sidecar):
    async def ask():
        client = skewless.AsyncClient(sidecar["tcp"])
        assert await client.services() == ["order_risk"]
        client.close()
        with pytest.raises(skewless.SkewlessError, match="expected an open client") as error:
            await client.services()
        assert "make another" in error.value.next_step

    asyncio.run(ask())


def test_a_client_serves_one_loop_after_another(sidecar):
    client = skewless.AsyncClient(sidecar["tcp"], calls_max=1)

    async def ask():
        return await asyncio.gather(*(client.features("order_risk") for _ in range(8)))

    assert asyncio.run(ask()) == asyncio.run(ask())
    with pytest.raises(skewless.InputError, match="calls_max to be 1 or more"):
        skewless.AsyncClient(sidecar["tcp"], calls_max=0)


def test_what_is_refused_is_raised_where_it_is_awaited(sidecar):
    async def ask():
        async with skewless.AsyncClient(sidecar["tcp"]) as client:
            with pytest.raises(skewless.SidecarError, match="did you mean `order_risk`"):
                await client.get("order_rsk", ROWS)
            with pytest.raises(skewless.InputError, match="none for `amount`"):
                await client.get("order_risk", [{"customer_id": 7}])
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            with pytest.raises(skewless.SidecarUnreachable):
                await skewless.AsyncClient(f"127.0.0.1:{free.getsockname()[1]}").services()

    asyncio.run(ask())


def test_a_forked_child_asks_on_a_connection_of_its_own(client):
    expected = client.get("order_risk", ROWS).to_dicts()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(60)
            code = 0 if client.get("order_risk", ROWS).to_dicts() == expected else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert client.get("order_risk", ROWS).to_dicts() == expected
    assert pickle.loads(pickle.dumps(client)).get("order_risk", ROWS).to_dicts() == expected


def test_nobody_there_is_told(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    for address in [address, f"unix:{tmp_path}/nobody.sock"]:
        with pytest.raises(skewless.SidecarUnreachable, match="no sidecar answers at") as error:
            skewless.Client(address).services()
        assert isinstance(error.value, ConnectionError)


@pytest.mark.parametrize(("address", "said"), [
    ("localhost", 'try "localhost:7667"'), ("localhost:99999", "expected a port of at most 65535, came `localhost:99999`"),
    ("/run/s.sock", 'try "unix:/run/s.sock"'), ("a b:1", "expected host:port"),
])
def test_an_address_that_is_none_is_answered_with_one_that_is(address, said):
    with pytest.raises(skewless.InputError) as error:
        skewless.Client(address)
    assert said in str(error.value)


@pytest.fixture
def silent():
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = []

        def take():
            try:
                while True:
                    kept.append(server.accept()[0])
            except OSError:
                pass

        threading.Thread(target=take, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        for taken in kept:
            taken.close()


def test_a_call_ends_when_its_time_has_passed(silent):
    with pytest.raises(skewless.SidecarError):
        skewless.Client(silent, timeout=0.2).services()


def test_a_signal_ends_a_call(silent):
    class Rung(Exception):
        pass

    def ring(*_):
        raise Rung

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(Rung):
            skewless.Client(silent, timeout=60).services()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
