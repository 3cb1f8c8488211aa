//! A signature as constants, and its JSON made by the compiler: the section is there without running
//! anything, and a guest carries no code for it. The form is described in `sdk/wit/CORE.md`.

use skewless_batch::abi::ABI_VERSION;
use skewless_batch::{Field, Signature, Type};

/// One input or output.
#[derive(Clone, Copy, Debug)]
pub struct FieldSpec {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub ty: Type,
    /// Input: receives nulls. Output: may be null although no input of the row was.
    pub nullable: bool,
    /// What it means, for people.
    pub doc: &'static str,
    /// Its unit.
    pub unit: &'static str,
}

/// A transform's signature.
#[derive(Clone, Copy, Debug)]
pub struct SignatureSpec {
    /// The transform's name.
    pub name: &'static str,
    /// The author's version of it.
    pub version: &'static str,
    /// What it computes, for people.
    pub doc: &'static str,
    /// Input columns in order.
    pub inputs: &'static [FieldSpec],
    /// Output columns in order.
    pub outputs: &'static [FieldSpec],
    /// Whether the function may give no row at all (`Option` of a struct): then every output may be null.
    pub outputs_nullable: bool,
}

impl SignatureSpec {
    /// The signature as the host knows it.
    #[must_use]
    pub fn signature(&self) -> Signature {
        let field = |spec: &FieldSpec, nullable: bool| Field {
            name: spec.name.to_owned(),
            ty: spec.ty,
            nullable: spec.nullable || nullable,
            doc: spec.doc.to_owned(),
            unit: spec.unit.to_owned(),
        };
        Signature {
            abi: ABI_VERSION,
            name: self.name.to_owned(),
            version: self.version.to_owned(),
            doc: self.doc.to_owned(),
            inputs: self.inputs.iter().map(|spec| field(spec, false)).collect(),
            outputs: self.outputs.iter().map(|spec| field(spec, self.outputs_nullable)).collect(),
        }
    }
}

/// Refuses, when the plugin is compiled, a name for an output that has names of its own.
#[must_use]
pub const fn outputs(fields: &'static [FieldSpec], named: bool) -> &'static [FieldSpec] {
    assert!(
        !named || (fields.len() == 1 && fields[0].name.is_empty()),
        "`output` and `unit` name a single value; the fields of a struct have names and units of their own"
    );
    fields
}

/// Bytes of the JSON of a signature.
#[must_use]
pub const fn json_len(spec: &SignatureSpec) -> usize {
    write(spec, Sink { bytes: [], len: 0, counting: true }).len
}

/// The JSON of a signature; `N` is its [`json_len`].
#[must_use]
pub const fn json<const N: usize>(spec: &SignatureSpec) -> [u8; N] {
    write(spec, Sink { bytes: [0; N], len: 0, counting: false }).bytes
}

/// Where JSON goes: it is counted first and written then.
struct Sink<const N: usize> {
    bytes: [u8; N],
    len: usize,
    counting: bool,
}

const fn write<const N: usize>(spec: &SignatureSpec, sink: Sink<N>) -> Sink<N> {
    let sink = sink.raw("{\"abi\":").number(ABI_VERSION);
    let sink = sink.raw(",\"name\":").text(spec.name);
    let sink = sink.raw(",\"version\":").text(spec.version);
    let sink = sink.raw(",\"doc\":").text(spec.doc);
    let sink = sink.raw(",\"inputs\":").fields(spec.inputs, false);
    let sink = sink.raw(",\"outputs\":").fields(spec.outputs, spec.outputs_nullable);
    sink.raw("}")
}

impl<const N: usize> Sink<N> {
    const fn byte(mut self, byte: u8) -> Self {
        if !self.counting {
            self.bytes[self.len] = byte;
        }
        self.len += 1;
        self
    }

    const fn raw(mut self, text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            self = self.byte(bytes[at]);
            at += 1;
        }
        self
    }

    /// A JSON string. UTF-8 goes through as it is; quotes, backslashes and control characters are escaped.
    const fn text(mut self, text: &str) -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let bytes = text.as_bytes();
        let mut at = 0;
        self = self.byte(b'"');
        while at < bytes.len() {
            let byte = bytes[at];
            self = match byte {
                b'"' | b'\\' => self.byte(b'\\').byte(byte),
                b'\n' => self.raw("\\n"),
                0..0x20 => self
                    .raw("\\u00")
                    .byte(HEX[(byte >> 4) as usize])
                    .byte(HEX[(byte & 15) as usize]),
                _ => self.byte(byte),
            };
            at += 1;
        }
        self.byte(b'"')
    }

    const fn number(mut self, number: u32) -> Self {
        let mut power = 1;
        while number / power >= 10 {
            power *= 10;
        }
        while power > 0 {
            self = self.byte(b'0' + (number / power % 10) as u8);
            power /= 10;
        }
        self
    }

    const fn fields(mut self, fields: &[FieldSpec], nullable: bool) -> Self {
        let mut at = 0;
        self = self.byte(b'[');
        while at < fields.len() {
            let field = &fields[at];
            self = self.raw(if at == 0 { "{\"name\":" } else { ",{\"name\":" }).text(field.name);
            self = self.raw(",\"type\":\"").ty(field.ty).raw("\",\"nullable\":");
            self = self.raw(if field.nullable || nullable { "true" } else { "false" });
            self = self.raw(",\"doc\":").text(field.doc);
            self = self.raw(",\"unit\":").text(field.unit).byte(b'}');
            at += 1;
        }
        self.byte(b']')
    }

    const fn ty(self, ty: Type) -> Self {
        match ty {
            Type::Bool => self.raw("bool"),
            Type::Int32 => self.raw("int32"),
            Type::Int64 => self.raw("int64"),
            Type::Float32 => self.raw("float32"),
            Type::Float64 => self.raw("float64"),
            Type::Utf8 => self.raw("utf8"),
            Type::Binary => self.raw("binary"),
            Type::Timestamp => self.raw("timestamp"),
            Type::Embedding(dim) => self.raw("embedding[").number(dim).raw("]"),
            Type::ListInt64 => self.raw("list<int64>"),
            Type::ListFloat64 => self.raw("list<float64>"),
            Type::ListUtf8 => self.raw("list<utf8>"),
        }
    }
}
