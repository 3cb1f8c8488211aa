"""What a decorated function becomes: its signature, and what it answers to batches."""

import json
import sys
import types
import unittest
from pathlib import Path
from typing import Annotated, NamedTuple, Optional

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import skewless_guest as sg  # noqa: E402
from skewless_guest import Embedding, Float32, Int32, RowError, Timestamp, Unit, transform  # noqa: E402


class Order(NamedTuple):
    """What can be said about an order."""

    price: Annotated[float, Unit("EUR"), "Value of one piece."]
    share: float | None


@transform(version="1.2.0")
def order(amount: Annotated[float, Unit("EUR")], pieces: int, spent: Annotated[Optional[float], "Earlier spending."]) -> Order:
    """Looks
    at an order."""
    if amount < 0:
        raise RowError("expected an amount of 0 or more")
    return Order(amount / pieces, amount / spent if spent else None)


def run(it, *columns):
    """A transform's answer to columns of (type, values): its output columns as lists."""
    rows = len(columns[0][1])
    made = [sg.column(sg.Type(kind), values) for kind, values in columns]
    rows_out, out = sg.decode(it.run(sg.encode(rows, made)))
    assert rows_out == rows
    return [sg.to_list(column, rows) for column in out]


class Signatures(unittest.TestCase):
    def test_hints_and_docstrings_become_the_signature(self):
        said = json.loads(order.signature())
        self.assertEqual(
            said,
            {
                "abi": 1, "name": "order", "version": "1.2.0", "doc": "Looks at an order.",
                "inputs": [
                    {"name": "amount", "type": "float64", "nullable": False, "doc": "", "unit": "EUR"},
                    {"name": "pieces", "type": "int64", "nullable": False, "doc": "", "unit": ""},
                    {"name": "spent", "type": "float64", "nullable": True, "doc": "Earlier spending.", "unit": ""},
                ],
                "outputs": [
                    {"name": "price", "type": "float64", "nullable": False, "doc": "Value of one piece.", "unit": "EUR"},
                    {"name": "share", "type": "float64", "nullable": True, "doc": "", "unit": ""},
                ],
            },
        )  # fmt: skip

    def test_every_type_has_a_hint(self):
        @transform(output="all", unit="s")
        def every(
            a: bool, b: Int32, c: int, d: Float32, e: float, f: str, g: bytes, h: Timestamp, i: Embedding[3],
            j: list[int], k: list[float], l: list[str], m: Int32 | None, n: Optional[Embedding[2]],
        ) -> Optional[Timestamp]:  # fmt: skip
            return h

        said = json.loads(every.signature())
        came = [(field["type"], field["nullable"]) for field in said["inputs"]]
        expected = [
            "bool", "int32", "int64", "float32", "float64", "utf8", "binary", "timestamp", "embedding[3]",
            "list<int64>", "list<float64>", "list<utf8>",
        ]  # fmt: skip
        self.assertEqual(came, [(name, False) for name in expected] + [("int32", True), ("embedding[2]", True)])
        self.assertEqual(said["outputs"], [{"name": "all", "type": "timestamp", "nullable": True, "doc": "", "unit": "s"}])

    def test_a_row_that_may_be_none_makes_every_output_nullable(self):
        @transform
        def maybe(a: float) -> Order | None:
            return None

        self.assertEqual([field["nullable"] for field in json.loads(maybe.signature())["outputs"]], [True, True])
        self.assertEqual(run(maybe, ("float64", [1.0])), [[None], [None]])

    def test_mistakes_are_told_by_name(self):
        def no_hint(a) -> float: ...
        def no_result(a: int): ...
        def odd(a: dict) -> float: ...
        def default(a: int = 1) -> float: ...
        def two(a: int | str) -> float: ...
        def several(a: int) -> tuple[int, int]: ...
        async def later(a: int) -> int: ...
        def some(a: int) -> int:
            yield a

        for function, says in [
            (no_hint, "`a` of no_hint has none"), (no_result, "`return` of no_result"), (odd, "`a`: expected bool, int, .* came dict"),
            (default, "without a default"), (two, "`a`: expected bool, int"),
            (several, "the result of several, .* several outputs are a NamedTuple"),
            (later, "came later, which is `async`"), (some, "came some, which is"),
        ]:  # fmt: skip
            with self.assertRaisesRegex(TypeError, says):
                transform(function)
        for make, says in [
            (lambda: Unit(5), "expected text for the name of a Unit, came 5"),
            (lambda: transform(order.function, version=2), "expected text for `version` of @transform, came 2"),
            (lambda: transform(order.function, unit=b"m"), "expected text for `unit` of @transform, came b'm'"),
        ]:
            with self.assertRaisesRegex(TypeError, says):
                make()
        with self.assertRaisesRegex(TypeError, "embedding of 1 to 65536"):
            Embedding[0]

    def test_a_module_has_one_transform(self):
        def twice(a: float) -> float: ...

        module = types.ModuleType("plugin")
        with self.assertRaisesRegex(TypeError, "exactly one .* came none"):
            sg.of_module(module)
        module.two, module.one = transform(twice), order
        with self.assertRaisesRegex(TypeError, "exactly one .* came twice, order"):
            sg.of_module(module)
        del module.two
        module.one = module.same = order
        self.assertIs(sg.of_module(module), order)


class Answers(unittest.TestCase):
    def test_rows_nulls_and_errors(self):
        came = run(
            order,
            ("float64", [30.0, None, -1.0, 1.0, 8.0]),
            ("int64", [3, 1, 1, 0, None]),
            ("float64", [60.0, 1.0, 1.0, 1.0, None]),
        )
        self.assertEqual(came[:2], [[10.0, None, None, None, None], [0.5, None, None, None, None]])
        self.assertEqual(came[2][:3], [None, None, "expected an amount of 0 or more"])
        self.assertTrue(came[2][3].startswith("ZeroDivisionError: "))
        self.assertIsNone(came[2][4])

    def test_a_batch_of_no_rows_and_one_of_many(self):
        columns = lambda n: (("float64", [2.0] * n), ("int64", [1] * n), ("float64", [None] * n))  # noqa: E731
        self.assertEqual(run(order, *columns(0)), [[], []])
        many = run(order, *columns(65_536))
        self.assertEqual(many, [[2.0] * 65_536, [None] * 65_536])

    def test_a_value_of_another_type_fails_its_row_alone(self):
        @transform
        def odd(a: int) -> Int32:
            return {1: "x", 2: 1 << 31, 3: None, 4: 1.5}.get(a, a)

        values, errors = run(odd, ("int64", [0, 1, 2, 3, 4, 5]))
        self.assertEqual(values, [0, None, None, None, None, 5])
        for row in (1, 2, 3, 4):
            self.assertTrue(errors[row].startswith("`value`: expected a int32, came "), errors[row])
        self.assertEqual((errors[0], errors[5]), (None, None))

    def test_lone_surrogates_and_wrong_lengths_fail_their_rows(self):
        @transform
        def text(a: int) -> str:
            return "\ud800" if a else "ok"

        values, errors = run(text, ("int64", [0, 1]))
        self.assertEqual((values, errors[0]), (["ok", None], None))
        self.assertIn("surrogates", errors[1])

        @transform
        def fails(a: int) -> int:
            raise RowError("\ud800")

        self.assertEqual(run(fails, ("int64", [0])), [[None], ["\\ud800"]])

        @transform
        def vector(a: int) -> Embedding[2]:
            return [1.0] * a

        values, errors = run(vector, ("int64", [2, 1]))
        self.assertEqual(values, [[1.0, 1.0], None])
        self.assertIn("expected 2 numbers", errors[1])

    def test_columns_take_lists_and_give_lists(self):
        @transform(columns=True, output="share")
        def share(part: float, whole: float | None) -> float | None:
            return [
                RowError("negative") if p is not None and p < 0 else p / w if p is not None and w else None
                for p, w in zip(part, whole)
            ]

        came = run(share, ("float64", [1.0, None, -1.0, 2.0]), ("float64", [4.0, 4.0, 4.0, None]))
        self.assertEqual(came, [[0.25, None, None, None], [None, None, "negative", None]])

        @transform(columns=True)
        def short(a: float) -> float:
            return []

        with self.assertRaisesRegex(ValueError, "an entry for each of 1 rows, came 0"):
            run(short, ("float64", [1.0]))

    def test_columns_of_another_signature_are_refused(self):
        with self.assertRaisesRegex(ValueError, r"expected columns \(float64, int64, float64\), came \(utf8\)"):
            run(order, ("utf8", ["a"]))

    def test_the_function_can_still_be_called(self):
        self.assertEqual(order(30.0, 3, 60.0), Order(10.0, 0.5))


if __name__ == "__main__":
    unittest.main()
