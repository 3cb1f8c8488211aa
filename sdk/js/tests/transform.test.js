// What a declared function becomes: its signature, and what it answers to batches.
import assert from "node:assert/strict";
import { test } from "node:test";

import { RowError, column, decode, encode, ofModule, toList, transform, typeOf } from "../skewless.js";

const order = transform(
  {
    name: "order",
    version: "1.2.0",
    doc: "Looks at an order.",
    inputs: { amount: { type: "float64", unit: "EUR" }, pieces: "int64", spent: { type: "float64", nullable: true, doc: "Earlier spending." } },
    outputs: { price: { type: "float64", unit: "EUR", doc: "Value of one piece." }, share: { type: "float64", nullable: true } },
  },
  (amount, pieces, spent) => {
    if (amount < 0) throw new RowError("expected an amount of 0 or more");
    if (pieces === 0n) throw new RangeError("no pieces");
    return { price: amount / Number(pieces), share: spent ? amount / spent : null };
  },
);

/** A transform's answer to columns of [type, values]: its output columns as lists. */
function run(it, ...columns) {
  const rows = columns[0][1].length;
  const made = columns.map(([type, values]) => column(typeOf(type), values));
  const out = decode(it.run(encode(rows, made)));
  assert.equal(out.rows, rows);
  return out.columns.map((one) => toList(one, rows));
}

test("the declaration becomes the signature", () => {
  assert.deepEqual(JSON.parse(order.signature()), {
    abi: 1,
    name: "order",
    version: "1.2.0",
    doc: "Looks at an order.",
    inputs: [
      { name: "amount", type: "float64", nullable: false, doc: "", unit: "EUR" },
      { name: "pieces", type: "int64", nullable: false, doc: "", unit: "" },
      { name: "spent", type: "float64", nullable: true, doc: "Earlier spending.", unit: "" },
    ],
    outputs: [
      { name: "price", type: "float64", nullable: false, doc: "Value of one piece.", unit: "EUR" },
      { name: "share", type: "float64", nullable: true, doc: "", unit: "" },
    ],
  });
});

test("mistakes are told by name", () => {
  const one = { name: "one", inputs: { a: "int64" }, outputs: { b: "int64" } };
  const call = (a) => a;
  assert.throws(() => transform({ ...one, inputs: { a: "integer" } }, call), /input `a`: expected one of bool, int32, .* came integer/);
  assert.throws(() => transform({ ...one, inputs: { a: "embedding[0]" } }, call), /embedding of 1 to 65536/);
  assert.throws(() => transform({ ...one, inputs: { a: { type: "int64", units: "s" } } }, call), /input `a`: .* came `units`/);
  assert.throws(() => transform({ ...one, inputs: { a: { type: "int64", unit: 5 } } }, call), /input `a`: expected text for unit, came 5/);
  assert.throws(() => transform({ ...one, outputs: { b: { type: "int64", doc: ["b"] } } }, call), /output `b`: expected text for doc, came \["b"\]/);
  assert.throws(() => transform({ ...one, inputs: { a: { type: "int64", nullable: "yes" } } }, call), /true or false for nullable, came "yes"/);
  assert.throws(() => transform({ ...one, version: 2 }, call), /one: expected text for version, came 2/);
  assert.throws(() => transform({ ...one, outputs: {} }, call), /at least one output/);
  assert.throws(() => transform({ ...one, input: {} }, call), /came `input`/);
  assert.throws(() => transform(one), /expected a function/);
  assert.throws(() => transform({ ...one, inputs: { a: null } }, call), /input `a`: expected a type, came null/);
  assert.throws(() => transform(one, async (a) => a), /expected a plain function .* came an AsyncFunction/);
  assert.throws(() => transform(one, (a, b) => a + b), /expected a function of the inputs \(a\), came one of 2 arguments/);
  assert.throws(() => ofModule({ a: 1 }), /exactly one `export .* came none/);
  assert.throws(() => ofModule({ order, other: transform(one, call) }), /exactly one `export .* came order, one/);
  assert.equal(ofModule({ order, default: order }), order);
});

test("rows, nulls and errors", () => {
  const came = run(
    order,
    ["float64", [30, null, -1, 1, 8]],
    ["int64", [3n, 1n, 1n, 0n, null]],
    ["float64", [60, 1, 1, 1, null]],
  );
  assert.deepEqual(came, [
    [10, null, null, null, null],
    [0.5, null, null, null, null],
    [null, null, "expected an amount of 0 or more", "RangeError: no pieces", null],
  ]);
});

test("a batch of no rows, and one of many", () => {
  const columns = (n) => [["float64", new Array(n).fill(2)], ["int64", new Array(n).fill(1n)], ["float64", new Array(n).fill(null)]];
  assert.deepEqual(run(order, ...columns(0)), [[], []]);
  const [price, share] = run(order, ...columns(65_536));
  assert.ok(price.length === 65_536 && price.every((value) => value === 2) && share.every((value) => value === null));
});

test("a value of another type fails its row alone", () => {
  const wrong = {
    bool: 1, int32: 2 ** 31, int64: 2n ** 63n, float32: "1", float64: 1n, utf8: "\ud800", binary: [1], timestamp: 0.5,
    "embedding[2]": [1], "list<int64>": [0.5], "list<float64>": 1, "list<utf8>": [1],
  };
  const right = {
    bool: true, int32: -(2 ** 31), int64: -(2n ** 63n), float32: 1, float64: -0, utf8: "\ufeffok", binary: new Uint8Array([1]), timestamp: 5n,
    "embedding[2]": new Float32Array([1, 2]), "list<int64>": new BigInt64Array([1n]), "list<float64>": new Float64Array([1]), "list<utf8>": ["a"],
  };
  for (const type of Object.keys(wrong)) {
    const it = transform({ name: "odd", inputs: { a: "int32" }, outputs: { b: type } }, (a) => [right[type], wrong[type], undefined][a]);
    const [values, errors] = run(it, ["int32", [0, 1, 2, 0]]);
    assert.deepEqual(values, [right[type], null, null, right[type]], type);
    assert.equal(errors[0], null, type);
    assert.match(errors[1], /^`b`: expected .*, came /, type);
    assert.match(errors[2], /came undefined; if it may be, declare it nullable/, type);
  }
});

test("an output that is misspelt is no null", () => {
  const outputs = { half: { type: "float64", nullable: true }, twice: { type: "float64", nullable: true } };
  const it = transform({ name: "it", inputs: { a: "float64" }, outputs }, (a) => (a > 1 ? { half: a / 2, twise: a * 2 } : { half: a / 2 }));
  const [half, twice, errors] = run(it, ["float64", [1, 2]]);
  assert.deepEqual([half, twice], [[0.5, null], [null, null]]);
  assert.deepEqual(errors, [null, "TypeError: expected an object with the outputs (half, twice), came `twise`"]);
});

test("a message is text, and no longer than it must be", () => {
  const it = transform({ name: "odd", inputs: { a: "int32" }, outputs: { b: "int32" } }, (a) => {
    if (a) throw new RowError("\ud800");
    return "x".repeat(1000);
  });
  const [, [long, broken]] = run(it, ["int32", [0, 1]]);
  assert.ok(long.length < 300, long);
  assert.equal(broken, "\ufffd");
});

test("columns are taken and given as arrays", () => {
  const share = transform(
    { name: "share", columns: true, inputs: { part: "float64", whole: { type: "float64", nullable: true } }, outputs: { share: { type: "float64", nullable: true } } },
    (part, whole) => part.map((p, row) => (p < 0 ? new RowError("negative") : p !== null && whole[row] ? p / whole[row] : null)),
  );
  const came = run(share, ["float64", [1, null, -1, 2]], ["float64", [4, 4, 4, null]]);
  assert.deepEqual(came, [[0.25, null, null, null], [null, null, "negative", null]]);
  const short = transform({ name: "short", columns: true, inputs: { a: "float64" }, outputs: { b: "float64" } }, () => []);
  assert.throws(() => run(short, ["float64", [1]]), /an entry for each of 1 rows, came 0/);
});

test("columns of another signature are refused", () => {
  assert.throws(() => run(order, ["utf8", ["a"]]), /expected columns \(float64, int64, float64\), came \(utf8\)/);
});
