// The echo of tests/programs/echo in JavaScript: every type of a feature, and how nulls come.
import { transform } from "./skewless.js";

const types = {
  flag: "bool",
  small: "int32",
  whole: "int64",
  single: "float32",
  double: "float64",
  text: "utf8",
  bytes: "binary",
  at: "timestamp",
  embedding: "embedding[3]",
  wholes: "list<int64>",
  more_wholes: "list<int64>",
  doubles: "list<float64>",
  texts: "list<utf8>",
  plain_whole: "int64",
  plain_text: "utf8",
};
const names = Object.keys(types);
const fields = (nullable) => Object.fromEntries(names.map((name) => [name, { type: types[name], nullable: nullable(name) }]));

export const echo = transform(
  { name: "echo", doc: "Gives back what it is given.", inputs: fields((name) => !name.startsWith("plain")), outputs: fields(() => true) },
  (...values) => Object.fromEntries(values.map((value, at) => [names[at], value])),
);
