"""Makes the sample data beside this file; invented, but the same on every run. Needs pyarrow."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

FOLDER = Path(__file__).parent
TIME = pa.timestamp("us", tz="UTC")
START = datetime(2024, 1, 1, tzinfo=UTC)
DAYS, CUSTOMERS, ORDERS = 182, 50, 1000


def main():
    rng = random.Random(7)
    orders = sorted(
        (START + timedelta(minutes=rng.randrange(DAYS * 24 * 60)), rng.randint(1, CUSTOMERS + 1),
         round(rng.lognormvariate(3.5, 0.8), 2), rng.random() < 0.1)
        for _ in range(ORDERS)
    )
    write("orders", {
        "event_timestamp": (TIME, [time for time, *_ in orders]),
        "customer_id": (pa.int64(), [customer for _, customer, *_ in orders]),
        "amount": (pa.float64(), [amount for _, _, amount, _ in orders]),
        "returned": (pa.bool_(), [returned for *_, returned in orders]),
    })
    nights = [START + timedelta(days=day) for day in range(7, DAYS + 1, 7)]
    rows = []
    for night in nights:
        for customer in range(1, CUSTOMERS + 1):
            window = [amount for time, who, amount, _ in orders
                      if who == customer and night - timedelta(days=90) <= time < night]
            rows.append((customer, night, night + timedelta(hours=2), len(window), round(sum(window), 2)))
    write("customer_orders", {
        "customer_id": (pa.int64(), [row[0] for row in rows]),
        "event_timestamp": (TIME, [row[1] for row in rows]),
        "created": (TIME, [row[2] for row in rows]),
        "orders": (pa.int64(), [row[3] for row in rows]),
        "spent": (pa.float64(), [row[4] for row in rows]),
    })


def write(name, columns):
    table = pa.table({name: pa.array(values, type) for name, (type, values) in columns.items()})
    pq.write_table(table, FOLDER / f"{name}.parquet", compression="zstd")


if __name__ == "__main__":
    main()
