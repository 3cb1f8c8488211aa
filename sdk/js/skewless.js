// What a plugin in JavaScript is written with: the batch of sdk/wit/CORE.md, and `transform`, which makes a transform of a function.
//
// One ES module without dependencies, to lie beside the plugin. It believes the input, as the host has checked it, and writes
// outputs as the contract says, byte for byte. It runs natively, in tests, and inside the component that `skewless plugin
// build` makes. Not here: the signature section, which the build appends, and golden rows, which `skewless plugin test` reads.
//
// Cost: numbers are taken from the batch and put into it by typed arrays; int64 and timestamps are BigInt, which costs most.

export const ABI = 1;
const MAGIC = 0x42574b53; // "SKWB"
const LAYOUT = 1;
const HEADER_BYTES = 64;
const DESCRIPTOR_BYTES = 48;
/** Buffers begin at multiples of this. */
const ALIGN = 64;
/** Bytes left free between two columns. */
const COLUMN_GAP = 64;
const ROWS_MAX = 1 << 20;
const COLUMNS_MAX = 4096;
const BATCH_BYTES_MAX = 1 << 30;
const EMBEDDING_DIM_MAX = 65_536;

const NAMES = [
  "bool", "int32", "int64", "float32", "float64", "utf8", "binary", "timestamp", "embedding", "list<int64>", "list<float64>", "list<utf8>",
];
/** The elements of a column's values. */
const ELEMENTS = {
  int32: Int32Array,
  int64: BigInt64Array,
  float32: Float32Array,
  float64: Float64Array,
  timestamp: BigInt64Array,
  embedding: Float32Array,
  "list<int64>": BigInt64Array,
  "list<float64>": Float64Array,
};

// A byte order mark is text like another.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const encoder = new TextEncoder();

/** Fails one row: its outputs are null, and the message is in the answer of whoever asks for it. */
export class RowError extends Error {}

/** A type of the contract: `{ name, dim }`, where `dim` is an embedding's length, else 0. */
export function typeOf(text) {
  const embedding = /^embedding\[([0-9]{1,6})\]$/.exec(text);
  if (embedding) {
    const dim = Number(embedding[1]);
    if (dim < 1 || dim > EMBEDDING_DIM_MAX) {
      throw new TypeError(`expected an embedding of 1 to ${EMBEDDING_DIM_MAX} numbers, came ${text}`);
    }
    return { name: "embedding", dim };
  }
  if (!NAMES.includes(text) || text === "embedding") {
    throw new TypeError(`expected one of ${NAMES.join(", ")} (embedding[16] with its length), came ${text}`);
  }
  return { name: text, dim: 0 };
}

const shown = ({ name, dim }) => (dim ? `embedding[${dim}]` : name);

// A column is a part of a batch, as buffers: { type, validity, offsets, inner, values }, typed arrays without padding, null where
// there is none. `toList` and `column` are between those and JavaScript's values.

function isNull(column, row) {
  return column.validity !== null && ((column.validity[row >> 3] >> (row & 7)) & 1) === 0;
}

/** A column's values, one a row, to be read by index: numbers that are all there lie in the batch already. */
function readable(column, rows) {
  const isNumbers = column.type.name in SCALARS && column.validity === null;
  return isNumbers ? column.values : toList(column, rows);
}

/** A column's values, one a row; null where it is null. */
export function toList(column, rows) {
  const { type, validity, offsets, inner, values } = column;
  const out = new Array(rows);
  const cut = (row) => [offsets[row], offsets[row + 1]];
  let value;
  switch (type.name) {
    case "bool":
      value = (row) => ((values[row >> 3] >> (row & 7)) & 1) === 1;
      break;
    case "utf8":
      value = (row) => decoder.decode(values.subarray(...cut(row)));
      break;
    case "embedding":
      value = (row) => values.slice(row * type.dim, (row + 1) * type.dim);
      break;
    case "list<utf8>":
      value = (row) => {
        const texts = [];
        for (let at = offsets[row]; at < offsets[row + 1]; at++) {
          texts.push(decoder.decode(values.subarray(inner[at], inner[at + 1])));
        }
        return texts;
      };
      break;
    case "binary":
    case "list<int64>":
    case "list<float64>":
      value = (row) => values.slice(...cut(row));
      break;
    default:
      value = (row) => values[row];
  }
  for (let row = 0; row < rows; row++) {
    out[row] = validity !== null && isNull(column, row) ? null : value(row);
  }
  return out;
}

function bits(rows, flag) {
  const out = new Uint8Array((rows + 7) >> 3);
  for (let row = 0; row < rows; row++) {
    if (flag(row)) out[row >> 3] |= 1 << (row & 7);
  }
  return out;
}

function bigint(value) {
  const big = typeof value === "number" && Number.isSafeInteger(value) ? BigInt(value) : value;
  if (typeof big !== "bigint" || BigInt.asIntN(64, big) !== big) throw new TypeError("expected a BigInt of 64 bits, or a safe integer");
  return big;
}

function number(value) {
  if (typeof value !== "number") throw new TypeError("expected a number");
  return value;
}

function int32(value) {
  if (typeof value !== "number" || (value | 0) !== value) throw new TypeError("expected a whole number of 32 bits");
  return value;
}

function utf8(value) {
  if (typeof value !== "string" || !value.isWellFormed()) throw new TypeError("expected a string without lone surrogates");
  return encoder.encode(value);
}

const SCALARS = { int32, int64: bigint, timestamp: bigint, float32: number, float64: number };

/** Pieces laid one after the other, and where they begin and end. */
function joined(pieces, Elements) {
  const offsets = new Int32Array(pieces.length + 1);
  pieces.forEach((piece, at) => (offsets[at + 1] = offsets[at] + piece.length));
  if (!Elements) return { offsets };
  const values = new Elements(offsets[pieces.length]);
  pieces.forEach((piece, at) => values.set(piece, offsets[at]));
  return { offsets, values };
}

function elements(value, check) {
  if (!Array.isArray(value) && !ArrayBuffer.isView(value)) throw new TypeError("expected an array");
  return Array.from(value, check);
}

/** A column of JavaScript's values, null (or undefined) for a null. What is no value of the type is a TypeError. */
export function column(type, list) {
  const rows = list.length;
  const there = (row) => list[row] !== null && list[row] !== undefined;
  let nulls = false;
  for (let row = 0; row < rows && !nulls; row++) nulls = list[row] === null || list[row] === undefined;
  const made = { type, validity: nulls ? bits(rows, there) : null, offsets: null, inner: null, values: null };
  const each = (read, empty) => Array.from(list, (value, row) => (there(row) ? read(value) : empty));
  switch (type.name) {
    case "bool":
      if (!list.every((value, row) => !there(row) || typeof value === "boolean")) throw new TypeError("expected true or false");
      return { ...made, values: bits(rows, (row) => list[row] === true) };
    case "utf8":
      return { ...made, ...joined(each(utf8, []), Uint8Array) };
    case "binary": {
      const bytes = (value) => {
        if (!(value instanceof Uint8Array)) throw new TypeError("expected a Uint8Array");
        return value;
      };
      return { ...made, ...joined(each(bytes, []), Uint8Array) };
    }
    case "embedding": {
      const values = new Float32Array(rows * type.dim);
      for (let row = 0; row < rows; row++) {
        if (!there(row)) continue;
        const vector = elements(list[row], number);
        if (vector.length !== type.dim) throw new TypeError(`expected ${type.dim} numbers, came ${vector.length}`);
        values.set(vector, row * type.dim);
      }
      return { ...made, values };
    }
    case "list<int64>":
      return { ...made, ...joined(each((value) => elements(value, bigint), []), BigInt64Array) };
    case "list<float64>":
      return { ...made, ...joined(each((value) => elements(value, number), []), Float64Array) };
    case "list<utf8>": {
      const lists = each((value) => elements(value, utf8), []);
      const { offsets } = joined(lists);
      const texts = joined(lists.flat(), Uint8Array);
      return { ...made, offsets, inner: texts.offsets, values: texts.values };
    }
    default: {
      const check = SCALARS[type.name];
      const values = new ELEMENTS[type.name](rows);
      const isFloat = check === number;
      for (let row = 0; row < rows; row++) {
        const value = list[row];
        // The usual case without a call, which costs an interpreter most.
        if (isFloat && typeof value === "number") values[row] = value;
        else if (value !== null && value !== undefined) values[row] = check(value);
      }
      return { ...made, values };
    }
  }
}

// The bytes: sdk/wit/CORE.md, section 4.

/** The rows and the columns of a batch that the host has checked. */
export function decode(batch) {
  // A copy begins where typed arrays may.
  const buffer = batch.slice().buffer;
  const head = new DataView(buffer);
  if (buffer.byteLength < HEADER_BYTES || head.getUint32(0, true) !== MAGIC) throw new Error("expected a batch that begins with `SKWB`");
  const version = head.getUint16(4, true);
  if (version !== LAYOUT) throw new Error(`expected a batch of layout version ${LAYOUT}, came ${version}`);
  const rows = head.getUint32(8, true);
  const columns = Array.from({ length: head.getUint32(12, true) }, (_, index) => {
    const at = HEADER_BYTES + DESCRIPTOR_BYTES * index;
    const buffered = (place, Elements) => {
      const length = head.getUint32(at + place + 4, true);
      return new Elements(buffer, head.getUint32(at + place, true), length / Elements.BYTES_PER_ELEMENT);
    };
    const name = NAMES[head.getUint8(at) - 1];
    const offsets = buffered(16, Int32Array);
    const inner = buffered(24, Int32Array);
    return {
      type: { name, dim: head.getUint32(at + 4, true) },
      validity: head.getUint8(at + 1) & 1 ? buffered(8, Uint8Array) : null,
      offsets: offsets.length ? offsets : null,
      inner: inner.length ? inner : null,
      values: buffered(32, ELEMENTS[name] ?? Uint8Array),
    };
  });
  return { rows, columns };
}

const up = (at) => Math.ceil(at / ALIGN) * ALIGN;

/** The batch of these columns: of equal columns the same bytes in every language. */
export function encode(rows, columns) {
  let at = HEADER_BYTES + DESCRIPTOR_BYTES * columns.length;
  const places = columns.map((column, index) => {
    if (index > 0) at = up(at) + COLUMN_GAP;
    return [column.validity, column.offsets, column.inner, column.values].map((buffer) => {
      const length = buffer === null ? 0 : buffer.byteLength;
      if (length === 0) return { start: 0, length };
      const start = up(at);
      at = start + length;
      return { start, length, buffer };
    });
  });
  const end = up(at);
  if (rows > ROWS_MAX || columns.length > COLUMNS_MAX || end > BATCH_BYTES_MAX) {
    throw new Error(
      `expected at most ${ROWS_MAX} rows, ${COLUMNS_MAX} columns and ${BATCH_BYTES_MAX} bytes, came ${rows}, ${columns.length} and ${end}`,
    );
  }
  const out = new Uint8Array(end);
  const head = new DataView(out.buffer);
  head.setUint32(0, MAGIC, true);
  head.setUint16(4, LAYOUT, true);
  head.setUint32(8, rows, true);
  head.setUint32(12, columns.length, true);
  head.setUint32(16, end, true);
  columns.forEach((column, index) => {
    const at = HEADER_BYTES + DESCRIPTOR_BYTES * index;
    head.setUint8(at, NAMES.indexOf(column.type.name) + 1);
    head.setUint8(at + 1, column.validity === null ? 0 : 1);
    head.setUint32(at + 4, column.type.dim, true);
    places[index].forEach(({ start, length, buffer }, place) => {
      head.setUint32(at + 8 + 8 * place, start, true);
      head.setUint32(at + 12 + 8 * place, length, true);
      if (buffer) out.set(new Uint8Array(buffer.buffer, buffer.byteOffset, length), start);
    });
    let nulls = 0;
    if (column.validity !== null) for (let row = 0; row < rows; row++) nulls += isNull(column, row) ? 1 : 0;
    head.setUint32(at + 40, nulls, true);
  });
  return out;
}

// Transforms.

/** Refuses what is no text of the signature: it would be only when the file that was built is loaded. */
function texts(named, where) {
  for (const [name, came] of Object.entries(named)) {
    if (typeof came !== "string") throw new TypeError(`${where}: expected text for ${name}, came ${text(came)}`);
  }
}

/** Fields as they are declared: `{ km: "float64" }`, or `{ km: { type, nullable, doc, unit } }`. */
function fields(declared, what) {
  return Object.entries(declared ?? {}).map(([name, said]) => {
    const field = typeof said === "string" ? { type: said } : said;
    if (field === null || typeof field !== "object") throw new TypeError(`${what} \`${name}\`: expected a type, came ${text(said)}`);
    const unknown = Object.keys(field).find((key) => !["type", "nullable", "doc", "unit"].includes(key));
    if (unknown) throw new TypeError(`${what} \`${name}\`: expected type, nullable, doc or unit, came \`${unknown}\``);
    const { nullable = false, doc = "", unit = "" } = field;
    texts({ doc, unit }, `${what} \`${name}\``);
    if (typeof nullable !== "boolean") throw new TypeError(`${what} \`${name}\`: expected true or false for nullable, came ${text(nullable)}`);
    try {
      return { name, type: typeOf(field.type), nullable, doc, unit };
    } catch (error) {
      throw new TypeError(`${what} \`${name}\`: ${error.message}`);
    }
  });
}

/** An error as a row's: a RowError's own words, and what else was thrown with its kind. */
export function said(error) {
  if (error instanceof RowError) return error.message.toWellFormed();
  return (error instanceof Error ? `${error.name}: ${error.message}` : String(error)).toWellFormed();
}

/** Characters of a value that a message shows. */
const SHOWN_MAX = 100;

function text(value) {
  const digits = (it) => (typeof it === "bigint" ? `${it}n` : it);
  const all = typeof value === "bigint" ? digits(value) : (JSON.stringify(value, (_, it) => digits(it)) ?? String(value));
  return all.slice(0, SHOWN_MAX).toWellFormed();
}

export class Transform {
  constructor({ name, version = "", doc = "", inputs, outputs, columns = false, ...unknown }, call) {
    const more = Object.keys(unknown);
    if (more.length) throw new TypeError(`expected name, version, doc, inputs, outputs or columns, came \`${more[0]}\``);
    if (typeof name !== "string" || name === "") throw new TypeError("expected a `name` for the transform");
    texts({ version, doc }, name);
    if (typeof call !== "function") throw new TypeError(`${name}: expected a function after the declaration`);
    this.name = name;
    this.version = version;
    this.doc = doc;
    this.columns = columns;
    this.inputs = fields(inputs, "input");
    this.outputs = fields(outputs, "output");
    const kind = call.constructor.name;
    if (kind !== "Function") throw new TypeError(`${name}: expected a plain function that returns a row's result, came an ${kind}`);
    if (call.length > this.inputs.length) {
      const names = this.inputs.map((field) => field.name).join(", ");
      throw new TypeError(`${name}: expected a function of the inputs (${names}), came one of ${call.length} arguments`);
    }
    if (this.outputs.length === 0) throw new TypeError(`${name}: expected at least one output`);
    /** The function itself, for tests. */
    this.call = call;
  }

  /** The JSON of the section `skewless.signature`. */
  signature() {
    const written = (field) => ({ ...field, type: shown(field.type) });
    const { name, version, doc } = this;
    return JSON.stringify({ abi: ABI, name, version, doc, inputs: this.inputs.map(written), outputs: this.outputs.map(written) });
  }

  /** The output batch of an input batch, as the host calls it. Throws if it hasn't the signature's inputs. */
  run(batch) {
    const { rows, columns } = decode(batch);
    const expected = this.inputs.map((field) => shown(field.type)).join(", ");
    const came = columns.map((column) => shown(column.type)).join(", ");
    if (expected !== came) throw new Error(`expected columns (${expected}), came (${came})`);
    const nulls = new Uint8Array(rows);
    columns.forEach((column, at) => {
      if (this.inputs[at].nullable || column.validity === null) return;
      for (let row = 0; row < rows; row++) if (isNull(column, row)) nulls[row] = 1;
    });
    const read = this.columns ? toList : readable;
    const lists = columns.map((column) => read(column, rows));
    const errors = new Map();
    const answers = this.columns ? this.byColumns(rows, lists, nulls, errors) : this.byRows(rows, lists, nulls, errors);
    const outputs = this.gather(rows, answers, nulls, errors);
    if (errors.size) {
      const messages = Array.from({ length: rows }, (_, row) => errors.get(row) ?? null);
      outputs.push(column({ name: "utf8", dim: 0 }, messages));
    }
    return encode(rows, outputs);
  }

  /** Calls the function for each row. What it throws is the row's error, whatever it is: other rows don't fail for it. */
  byRows(rows, lists, nulls, errors) {
    const answers = this.outputs.map(() => new Array(rows).fill(null));
    const given = new Array(lists.length);
    const single = this.outputs.length === 1;
    for (let row = 0; row < rows; row++) {
      if (nulls[row]) continue;
      for (let at = 0; at < lists.length; at++) given[at] = lists[at][row];
      try {
        const result = this.call(...given);
        if (single) answers[0][row] = result;
        else this.put(answers, row, result);
      } catch (error) {
        errors.set(row, said(error));
      }
    }
    return answers;
  }

  /** A row's result of several outputs: an object with all of them. */
  put(answers, row, result) {
    if (result === null || result === undefined) return;
    if (typeof result !== "object") throw new TypeError(`expected an object with the outputs, came ${text(result)}`);
    let absent = false;
    this.outputs.forEach(({ name }, at) => {
      const value = result[name];
      answers[at][row] = value;
      absent ||= value === undefined;
    });
    // A name that is misspelt would be a null that nobody notices.
    const unknown = absent && Object.keys(result).find((key) => !this.outputs.some(({ name }) => name === key));
    if (unknown) {
      const names = this.outputs.map(({ name }) => name).join(", ");
      throw new TypeError(`expected an object with the outputs (${names}), came \`${unknown}\``);
    }
  }

  /** Calls the function once. An entry may be a RowError, which is its row's error. */
  byColumns(rows, lists, nulls, errors) {
    const result = this.call(...lists);
    return this.outputs.map(({ name }) => {
      const answer = this.outputs.length === 1 ? result : result[name];
      if (answer?.length !== rows) throw new Error(`\`${name}\`: expected an array with an entry for each of ${rows} rows, came ${answer?.length}`);
      return Array.from(answer, (value, row) => {
        if (!(value instanceof RowError)) return value;
        if (!nulls[row] && !errors.has(row)) errors.set(row, said(value));
        return null;
      });
    });
  }

  /** The output columns. A row whose values aren't those of the signature fails alone. */
  gather(rows, answers, nulls, errors) {
    const wrong = (row, field, value) => {
      if (!errors.has(row)) errors.set(row, `\`${field.name}\`: expected ${shown(field.type)}, came ${value}`);
    };
    this.outputs.forEach((field, at) => {
      const answer = answers[at];
      for (let row = 0; row < rows; row++) {
        if (nulls[row]) answer[row] = null;
        else if (!field.nullable && (answer[row] === null || answer[row] === undefined)) {
          wrong(row, field, `${answer[row]}; if it may be, declare it nullable: true`);
        }
      }
    });
    const made = () => {
      for (const row of errors.keys()) for (const answer of answers) answer[row] = null;
      return this.outputs.map((field, at) => column(field.type, answers[at]));
    };
    try {
      return made();
    } catch {
      this.outputs.forEach((field, at) => {
        for (let row = 0; row < rows; row++) {
          try {
            column(field.type, [answers[at][row]]);
          } catch (error) {
            wrong(row, field, `${text(answers[at][row])} (${said(error)})`);
          }
        }
      });
      return made();
    }
  }
}

/**
 * Makes a transform of a function that takes a row's inputs, in order, and gives the value of the only output or an object with
 * all of them. `columns: true`: it takes an array a column and gives arrays with an entry per row, which may be a RowError.
 */
export function transform(declared, call) {
  return new Transform(declared, call);
}

/** The one transform that a module exports. */
export function ofModule(module) {
  const found = new Set(Object.values(module).filter((it) => it instanceof Transform));
  if (found.size !== 1) {
    const names = [...found].map(({ name }) => name).join(", ") || "none";
    throw new TypeError(`expected exactly one \`export const ... = transform(...)\` in plugin.js, came ${names}`);
  }
  return [...found][0];
}
