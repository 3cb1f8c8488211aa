//! Reads what a `.wasm` file is without running it; not the compiler, not the host.
//!
//! One pass over the file: validation with exactly the Wasm features plugins may use, the signature
//! section, imports (there may be none), the exports of the contract with their types, and what state
//! a call could leave behind ([`State`]), which decides whether the default policy can restore an
//! instance or needs a new one. Everything here is a check of hostile bytes and linear in their length.

use skewless_batch::Signature;
use skewless_batch::abi::{EXPORT_MEMORY, EXPORT_RESERVE, EXPORT_TRANSFORM, SIGNATURE_SECTION};
use skewless_catalog::Digest;
use wasmparser::{
    CompositeInnerType, Encoding, ExternalKind, FunctionBody, Operator, Parser, Payload, ValType,
    Validator, WasmFeatures,
};

use crate::config::{EngineConfig, PAGE_BYTES};
use crate::error::{PluginError, bounded};
use crate::signature;

/// The name of the component lane's only export.
pub const COMPONENT_EXPORT: &str = "transform";

/// What a plugin file is, read without running it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PluginFacts {
    /// SHA-256 of the file: the plugin's identity.
    pub digest: Digest,
    /// How the engine talks to it.
    pub lane: Lane,
    /// What it needs and gives.
    pub signature: Signature,
    /// Bytes of the file.
    pub bytes: usize,
    /// Functions it defines, in all its modules.
    pub functions: usize,
    /// Bytes of memory it starts with; 0 for a component without one.
    pub memory_bytes_min: u64,
    /// Bytes of memory it may grow to by its own word; `None`: as far as it is let.
    pub memory_bytes_max: Option<u64>,
    /// Names of its exports, the first [`NAMES_MAX`].
    pub exports: Vec<String>,
    /// What made it, as its section `producers` says, if it has one; nothing rests on it.
    pub producers: Vec<Producer>,
    /// What a call may leave behind in an instance.
    pub state: State,
}

/// Most names of exports and producers that are kept.
pub const NAMES_MAX: usize = 64;

/// A tool or language that a plugin is made with, as WebAssembly's tool conventions have it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Producer {
    /// What it was: `language`, `processed-by` or `sdk`.
    pub field: String,
    /// Its name.
    pub name: String,
    /// Its version; may be empty.
    pub version: String,
}

/// How the engine talks to a plugin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lane {
    /// A core module: batches are written straight into its memory.
    Core,
    /// A component: batches cross as `list<u8>`.
    Component,
}

/// What a call may leave behind in an instance of a core module, besides its memory.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct State {
    /// Indexes of its mutable globals of a number type: they can be restored.
    pub globals: Vec<u32>,
    /// Whether it has a mutable global that holds a reference: that can't.
    pub reference_globals: bool,
    /// Whether any instruction writes a table.
    pub writes_tables: bool,
    /// Whether any instruction drops a data or element segment.
    pub drops_segments: bool,
    /// Whether it has a start function.
    pub start: bool,
}

impl State {
    /// Whether memory and number globals are all that can differ from a fresh instance after a call.
    #[must_use]
    pub fn restorable(&self) -> bool {
        !(self.reference_globals || self.writes_tables || self.drops_segments)
    }
}

/// What every WebAssembly file begins with.
const MAGIC: &[u8] = b"\0asm";

/// Reads a plugin file and checks everything that can be checked without running or compiling it, under the limits
/// that it is to be loaded with.
pub fn inspect(wasm: &[u8], config: &EngineConfig) -> Result<PluginFacts, PluginError> {
    if wasm.len() > config.module_bytes_max {
        return Err(PluginError::TooLarge { max: config.module_bytes_max, came: wasm.len() });
    }
    if !wasm.starts_with(MAGIC) {
        return Err(PluginError::NotWasm);
    }
    let invalid =
        |e: wasmparser::BinaryReaderError| PluginError::Invalid(bounded(&e.to_string()).to_owned());
    let types = Validator::new_with_features(FEATURES).validate_all(wasm).map_err(invalid)?;
    let scan = Scan::of(wasm).map_err(invalid)?;
    if let Some((module, name)) = scan.import {
        return Err(PluginError::Import { module, name });
    }
    let signature = match scan.signatures[..] {
        [] => return Err(PluginError::NoSignature),
        [one] => signature::parse(one, config.signature_bytes_max)?,
        _ => return Err(PluginError::ManySignatures { came: scan.signatures.len() }),
    };
    match scan.lane {
        Lane::Core => check_core_exports(&scan, &types)?,
        Lane::Component if scan.component_export => {}
        Lane::Component => return Err(PluginError::MissingExport { name: COMPONENT_EXPORT }),
    }
    let memory = scan.memory_pages_min.saturating_mul(PAGE_BYTES);
    if memory > config.memory_bytes_max as u64 {
        return Err(PluginError::Memory { max: config.memory_bytes_max as u64, came: memory });
    }
    if scan.table_elements_min > config.table_elements_max as u64 {
        let max = config.table_elements_max as u64;
        return Err(PluginError::Table { max, came: scan.table_elements_min });
    }
    Ok(PluginFacts {
        digest: Digest::of(wasm),
        lane: scan.lane,
        signature,
        bytes: wasm.len(),
        functions: scan.functions,
        memory_bytes_min: memory,
        memory_bytes_max: scan.memory_pages_max.map(|pages| pages.saturating_mul(PAGE_BYTES)),
        exports: scan.export_names,
        producers: scan.producers,
        state: scan.state,
    })
}

/// What plugins may use: WebAssembly 2.0 with constant expressions and tail calls, and components. No
/// threads, relaxed SIMD, memory64, several memories, exceptions or garbage collection: each is either
/// not deterministic or more surface than a plugin needs.
pub(crate) const FEATURES: WasmFeatures = WasmFeatures::WASM2
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::CALL_INDIRECT_OVERLONG)
    .union(WasmFeatures::BULK_MEMORY_OPT)
    .union(WasmFeatures::COMPONENT_MODEL);

struct Scan<'a> {
    lane: Lane,
    signatures: Vec<&'a [u8]>,
    import: Option<(String, String)>,
    exports: Vec<wasmparser::Export<'a>>,
    component_export: bool,
    functions: usize,
    memory_pages_min: u64,
    /// The greatest of all memories; `None` if there is none or one has no maximum.
    memory_pages_max: Option<u64>,
    export_names: Vec<String>,
    producers: Vec<Producer>,
    table_elements_min: u64,
    state: State,
}

impl<'a> Scan<'a> {
    fn of(wasm: &'a [u8]) -> wasmparser::Result<Self> {
        let mut scan = Scan {
            lane: Lane::Core,
            signatures: Vec::new(),
            import: None,
            exports: Vec::new(),
            component_export: false,
            functions: 0,
            memory_pages_min: 0,
            memory_pages_max: Some(0),
            export_names: Vec::new(),
            producers: Vec::new(),
            table_elements_min: 0,
            state: State::default(),
        };
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                payload => scan.payload(payload, depth == 0)?,
            }
        }
        scan.memory_pages_max = scan.memory_pages_max.filter(|_| scan.memory_pages_min > 0);
        Ok(scan)
    }

    /// `top`: not inside a component's nested modules, whose imports the component itself provides.
    fn payload(&mut self, payload: Payload<'a>, top: bool) -> wasmparser::Result<()> {
        match payload {
            Payload::Version { encoding: Encoding::Component, .. } if top => {
                self.lane = Lane::Component
            }
            Payload::CustomSection(section) if top && section.name() == SIGNATURE_SECTION => {
                self.signatures.push(section.data());
            }
            Payload::CustomSection(section) if top && section.name() == "producers" => {
                self.producers = producers(&section);
            }
            Payload::ImportSection(imports) if top => {
                for import in imports.into_imports() {
                    let import = import?;
                    self.imported(import.module, import.name);
                }
            }
            Payload::ComponentImportSection(imports) if top => {
                for import in imports {
                    self.imported("", import?.name.name);
                }
            }
            Payload::ExportSection(exports) if top => {
                self.exports = exports.into_iter().collect::<wasmparser::Result<_>>()?;
                let names = self.exports.iter().take(NAMES_MAX).map(|export| export.name);
                self.export_names = names.map(|name| bounded(name).to_owned()).collect();
            }
            Payload::ComponentExportSection(exports) if top => {
                for export in exports {
                    let name = export?.name.name;
                    self.component_export |= name == COMPONENT_EXPORT;
                    if self.export_names.len() < NAMES_MAX {
                        self.export_names.push(bounded(name).to_owned());
                    }
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories {
                    let memory = memory?;
                    self.memory_pages_min = self.memory_pages_min.max(memory.initial);
                    let greatest = self.memory_pages_max.zip(memory.maximum);
                    self.memory_pages_max = greatest.map(|(one, other)| one.max(other));
                }
            }
            Payload::TableSection(tables) => {
                for table in tables {
                    self.table_elements_min = self.table_elements_min.max(table?.ty.initial);
                }
            }
            Payload::GlobalSection(globals) if top => {
                for (index, global) in (0..).zip(globals) {
                    let ty = global?.ty;
                    match ty.content_type {
                        _ if !ty.mutable => {}
                        ValType::Ref(_) => self.state.reference_globals = true,
                        _ => self.state.globals.push(index),
                    }
                }
            }
            Payload::StartSection { .. } => self.state.start = true,
            Payload::CodeSectionEntry(body) => self.function(&body, top)?,
            _ => {}
        }
        Ok(())
    }

    fn imported(&mut self, module: &str, name: &str) {
        let first = || (bounded(module).to_owned(), bounded(name).to_owned());
        self.import.get_or_insert_with(first);
    }

    fn function(&mut self, body: &FunctionBody<'_>, top: bool) -> wasmparser::Result<()> {
        self.functions += 1;
        if !top {
            return Ok(());
        }
        for operator in body.get_operators_reader()? {
            match operator? {
                Operator::TableSet { .. }
                | Operator::TableGrow { .. }
                | Operator::TableFill { .. }
                | Operator::TableCopy { .. }
                | Operator::TableInit { .. } => self.state.writes_tables = true,
                Operator::DataDrop { .. } | Operator::ElemDrop { .. } => {
                    self.state.drops_segments = true
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// What a section `producers` says; what of it can't be read is left out, as nothing rests on it.
fn producers(section: &wasmparser::CustomSectionReader<'_>) -> Vec<Producer> {
    let wasmparser::KnownCustom::Producers(fields) = section.as_known() else { return Vec::new() };
    let fields = fields.into_iter().map_while(Result::ok);
    let values = fields.flat_map(|field| {
        let values = field.values.into_iter().map_while(Result::ok);
        values.map(move |value| Producer {
            field: bounded(field.name).to_owned(),
            name: bounded(value.name).to_owned(),
            version: bounded(value.version).to_owned(),
        })
    });
    values.take(NAMES_MAX).collect()
}

fn check_core_exports(
    scan: &Scan<'_>,
    types: &wasmparser::types::Types,
) -> Result<(), PluginError> {
    let find = |name| {
        let found = scan.exports.iter().find(|export| export.name == name);
        found.ok_or(PluginError::MissingExport { name })
    };
    let memory = find(EXPORT_MEMORY)?;
    if memory.kind != ExternalKind::Memory {
        let came = format!("{:?}", memory.kind).to_lowercase();
        return Err(PluginError::ExportType { name: EXPORT_MEMORY, expected: "a memory", came });
    }
    let functions: [(_, _, &[ValType], _); 2] = [
        (EXPORT_RESERVE, "func (i32) -> i32", &[ValType::I32], ValType::I32),
        (EXPORT_TRANSFORM, "func (i32, i32) -> i64", &[ValType::I32, ValType::I32], ValType::I64),
    ];
    for (name, expected, params, result) in functions {
        let export = find(name)?;
        let wrong = |came| PluginError::ExportType { name, expected, came };
        if export.kind != ExternalKind::Func {
            return Err(wrong(format!("{:?}", export.kind).to_lowercase()));
        }
        let types = types.as_ref();
        let id = types.core_function_at(export.index);
        let CompositeInnerType::Func(ty) = &types[id].composite_type.inner else {
            return Err(wrong("no function".to_owned()));
        };
        if ty.params() != params || ty.results() != [result] {
            let list =
                |of: &[ValType]| of.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(wrong(format!("func ({}) -> {}", list(ty.params()), list(ty.results()))));
        }
    }
    Ok(())
}
