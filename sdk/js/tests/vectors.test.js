// The vectors of sdk/vectors: every batch is read as described, and written byte for byte.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";

import { column, decode, encode, toList, typeOf } from "../skewless.js";

const VALID = new URL("../../vectors/valid/", import.meta.url);
const WORDS = {
  float32: [Uint32Array, Float32Array, Number],
  embedding: [Uint32Array, Float32Array, Number],
  float64: [BigUint64Array, Float64Array, BigInt],
  "list<float64>": [BigUint64Array, Float64Array, BigInt],
};
const READ = {
  int64: BigInt,
  timestamp: BigInt,
  binary: (hex) => new Uint8Array(Buffer.from(hex, "hex")),
  "list<int64>": (items) => new BigInt64Array(items.map(BigInt)),
};

/** A described column as buffers, and its values as the SDK gives them; floats come from their bits. */
function described({ type: text, values }) {
  const type = typeOf(text);
  if (!(type.name in WORDS)) {
    const read = READ[type.name] ?? ((value) => value);
    const given = values.map((value) => (value === null ? null : read(value)));
    return { made: column(type, given), given };
  }
  const [Words, Floats, read] = WORDS[type.name];
  const listed = type.dim > 0 || type.name.startsWith("list");
  const zero = type.dim ? new Array(type.dim).fill("0x0") : listed ? [] : "0x0";
  const words = values.map((value) => Words.from([value ?? zero].flat().map(read)));
  const given = words.map((word, row) => {
    if (values[row] === null) return null;
    const floats = new Floats(word.buffer);
    return listed ? floats : floats[0];
  });
  const all = Words.from(words.flatMap((word) => [...word]));
  return { made: { ...column(type, given), values: all }, given };
}

const bytes = ({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength).toString("hex");

test("reading gives the described values and writing the exact bytes", () => {
  const names = readdirSync(VALID).filter((name) => name.endsWith(".json"));
  assert.ok(names.length > 15);
  const seen = new Set();
  for (const name of names) {
    const vector = JSON.parse(readFileSync(new URL(name, VALID), "utf8"));
    const hex = readFileSync(new URL(name.replace(".json", ".hex"), VALID), "utf8").replace(/\s/g, "");
    const { rows, columns } = decode(new Uint8Array(Buffer.from(hex, "hex")));
    assert.equal(rows, vector.rows, name);
    assert.equal(columns.length, vector.columns.length, name);
    const made = columns.map((came, at) => {
      const expected = described(vector.columns[at]);
      assert.deepEqual(came.type, typeOf(vector.columns[at].type), name);
      assert.equal(bytes(came.values), bytes(expected.made.values), name);
      assert.deepEqual(toList(came, rows), expected.given, name);
      seen.add(came.type.name);
      return expected.made;
    });
    assert.equal(Buffer.from(encode(rows, made)).toString("hex"), hex, name);
  }
  assert.equal(seen.size, 12);
});
