"""Makes the sample data beside this file; invented, but the same on every run. Needs pyarrow."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

FOLDER = Path(__file__).parent
TIME = pa.timestamp("us", tz="UTC")
OPENED = datetime(2024, 1, 1, tzinfo=UTC)
SHOPS = {1: (52.520008, 13.404954), 2: (48.856613, 2.352222), 3: (-33.86882, 151.209296), 4: (64.146582, -21.942635)}
# Shop, latitude and longitude of whom it delivers to. No shop has the number 9, and no place the latitude 91.
ORDERS = [
    (1, 53.551086, 9.993682), (2, 45.764043, 4.835659), (3, -37.813629, 144.963058), (4, 64.146582, -21.942635),
    (1, 40.712776, -74.005974), (3, 51.507351, -0.127758), (9, 52.0, 13.0), (2, 91.0, 2.0),
]


def main():
    write("shops", {
        "shop_id": (pa.int64(), list(SHOPS)),
        "event_timestamp": (TIME, [OPENED] * len(SHOPS)),
        "lat": (pa.float64(), [lat for lat, _ in SHOPS.values()]),
        "lon": (pa.float64(), [lon for _, lon in SHOPS.values()]),
    })
    write("orders", {
        "event_timestamp": (TIME, [OPENED + timedelta(days=1, hours=at) for at in range(len(ORDERS))]),
        "shop_id": (pa.int64(), [shop for shop, *_ in ORDERS]),
        "lat": (pa.float64(), [lat for _, lat, _ in ORDERS]),
        "lon": (pa.float64(), [lon for *_, lon in ORDERS]),
    })


def write(name, columns):
    table = pa.table({name: pa.array(values, type) for name, (type, values) in columns.items()})
    pq.write_table(table, FOLDER / f"{name}.parquet", compression="zstd")


if __name__ == "__main__":
    main()
