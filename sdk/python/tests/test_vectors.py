"""The vectors of sdk/vectors: every batch is read as described, and written byte for byte."""

import json
import math
import struct
import sys
import unittest
from array import array
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import skewless_guest as sg  # noqa: E402

VALID = HERE.parents[1] / "vectors" / "valid"
FLOATS = {"float32": ("I", "f"), "embedding": ("I", "f"), "float64": ("Q", "d"), "list<float64>": ("Q", "d")}


def flat(value):
    return value if isinstance(value, list) else [value]


def described(column):
    """A described column as buffers, and its values as the SDK gives them; floats come from their bits."""
    kind, values = sg.Type(column["type"]), column["values"]
    if kind.name in FLOATS:
        word, number = FLOATS[kind.name]
        size = struct.calcsize(word)
        zero = ["0x0"] * kind.dim if kind.dim else [] if kind.name.startswith("list") else "0x0"
        words = [[int(bits, 16) for bits in flat(zero if value is None else value)] for value in values]
        listed = kind.dim or kind.name.startswith("list")
        numbers = [[struct.unpack(number, bits.to_bytes(size, "little"))[0] for bits in row] for row in words]
        numbers = [None if value is None else row if listed else row[0] for value, row in zip(values, numbers)]
        made = sg.column(kind, numbers)
        return made._replace(values=array(word, [bits for row in words for bits in row]).tobytes()), numbers
    read = {"int64": int, "timestamp": int, "binary": bytes.fromhex, "list<int64>": lambda items: [int(it) for it in items]}
    convert = read.get(kind.name, lambda value: value)
    values = [None if value is None else convert(value) for value in values]
    return sg.column(kind, values), values


def same(came, expected):
    if isinstance(expected, list):
        return isinstance(came, list) and len(came) == len(expected) and all(map(same, came, expected))
    if isinstance(expected, float):
        return came == expected and math.copysign(1, came) == math.copysign(1, expected) or came != came and expected != expected
    return type(came) is type(expected) and came == expected


class Vectors(unittest.TestCase):
    def test_reading_gives_the_described_values_and_writing_the_exact_bytes(self):
        files = sorted(VALID.glob("*.json"))
        self.assertGreater(len(files), 15)
        seen = set()
        for file in files:
            with self.subTest(file.stem):
                vector = json.loads(file.read_text())
                batch = bytes.fromhex(file.with_suffix(".hex").read_text())
                rows, columns = sg.decode(batch)
                self.assertEqual((rows, len(columns)), (vector["rows"], len(vector["columns"])))
                made = []
                for came, expected in zip(columns, vector["columns"]):
                    column, values = described(expected)
                    made.append(column)
                    seen.add(came.type.name)
                    self.assertEqual(str(came.type), expected["type"])
                    self.assertEqual(bytes(memoryview(came.values).cast("B")), bytes(memoryview(column.values).cast("B")))
                    listed = sg.to_list(came, rows)
                    self.assertTrue(same(listed, values), f"expected {values}, came {listed}")
                self.assertEqual(sg.encode(rows, made).hex(), batch.hex())
        self.assertEqual(seen, set(sg.CODES))


if __name__ == "__main__":
    unittest.main()
