//! What a plugin needs and gives. Plain data: the SDK's macro writes it as JSON into a custom
//! section, the engine reads it; the JSON is described in `sdk/wit/CORE.md`, none of it is here.

use alloc::string::String;
use alloc::vec::Vec;

use crate::Type;

/// A plugin's contract, readable without running it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Signature {
    /// ABI version, see [`ABI_VERSION`](crate::abi::ABI_VERSION).
    pub abi: u32,
    /// The transform's name.
    pub name: String,
    /// The author's version of it.
    pub version: String,
    /// What it computes, for people.
    pub doc: String,
    /// The input batch's columns, in order.
    pub inputs: Vec<Field>,
    /// The output batch's columns, in order, without the optional error column.
    pub outputs: Vec<Field>,
}

/// One column of a signature.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Field {
    /// Its name, unique among inputs or outputs.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// Input: the function itself receives nulls. Output: values may be null although none of the
    /// row's inputs was.
    pub nullable: bool,
    /// What it means, for people; may be empty.
    pub doc: String,
    /// Its unit, e.g. `km`; may be empty.
    pub unit: String,
}

impl Field {
    /// A field without doc and unit.
    #[must_use]
    pub fn new(name: impl Into<String>, ty: Type, nullable: bool) -> Self {
        Self { name: name.into(), ty, nullable, doc: String::new(), unit: String::new() }
    }
}

impl Signature {
    /// Position of the input of that name.
    #[must_use]
    pub fn input_index(&self, name: &str) -> Option<usize> {
        self.inputs.iter().position(|field| field.name == name)
    }

    /// Position of the output of that name.
    #[must_use]
    pub fn output_index(&self, name: &str) -> Option<usize> {
        self.outputs.iter().position(|field| field.name == name)
    }
}
