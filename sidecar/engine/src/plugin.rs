//! A loaded plugin: facts, compiled code, and the image a soft reset restores; shared, never changed.
//!
//! Everything that needs a name (exports) is looked up here once, so that a call needs none; and what is known of a
//! call's input before its values come is made here once.

use std::sync::{Arc, OnceLock};

use skewless_batch::abi::{EXPORT_MEMORY, EXPORT_RESERVE, EXPORT_TRANSFORM};
use skewless_batch::{OneRow, Signature, Type};
use skewless_catalog::{Digest, InstancePolicy};
use wasmtime::component::{self, Component, ComponentExportIndex};
use wasmtime::{InstancePre, Linker, Module, ModuleExport, Val};

use crate::engine::Engine;
use crate::error::{PluginError, bounded};
use crate::inspect::{COMPONENT_EXPORT, PluginFacts};
use crate::limiter::Limiter;
use crate::rewrite;

/// A plugin that can be run by every worker of its engine. A cheap handle.
#[derive(Clone)]
pub struct Plugin {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    id: u64,
    facts: PluginFacts,
    code: Code,
    /// One row of its inputs, if all of them are numbers or bools.
    one_row: Option<OneRow>,
    image: OnceLock<Option<Image>>,
}

/// Compiled code, ready to be instantiated.
pub(crate) enum Code {
    Core { pre: InstancePre<Limiter>, exports: CoreExports },
    Component { pre: component::InstancePre<Limiter>, transform: ComponentExportIndex },
}

impl Code {
    /// What it was compiled for.
    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        match self {
            Self::Core { pre, .. } => pre.module().engine(),
            Self::Component { pre, .. } => pre.engine(),
        }
    }
}

/// Where the contract's exports of a core module are.
pub(crate) struct CoreExports {
    pub(crate) memory: ModuleExport,
    pub(crate) reserve: ModuleExport,
    pub(crate) transform: ModuleExport,
    pub(crate) globals: Vec<ModuleExport>,
}

/// The state of a fresh instance.
pub(crate) struct Image {
    /// Memory up to its last byte that isn't zero.
    pub(crate) bytes: Box<[u8]>,
    /// Bytes of the whole memory.
    pub(crate) memory_bytes: usize,
    /// The mutable globals, in the order of [`CoreExports::globals`].
    pub(crate) globals: Box<[Val]>,
}

/// What happens to an instance after a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Treatment {
    /// It stays as the call left it.
    Keep,
    /// It is restored to the image.
    Restore,
    /// It is thrown away.
    Drop,
}

impl Plugin {
    /// SHA-256 of the plugin's file.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.inner.facts.digest
    }

    /// What it needs and gives.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.inner.facts.signature
    }

    /// What is known about it without running it.
    #[must_use]
    pub fn facts(&self) -> &PluginFacts {
        &self.inner.facts
    }

    pub(crate) fn core(
        engine: &Engine,
        id: u64,
        facts: PluginFacts,
        module: &Module,
    ) -> Result<Self, PluginError> {
        let find = |name: &str| module.get_export_index(name).ok_or_else(|| lost(name));
        let globals = if facts.state.restorable() { facts.state.globals.len() } else { 0 };
        let exports = CoreExports {
            memory: find(EXPORT_MEMORY)?,
            reserve: find(EXPORT_RESERVE)?,
            transform: find(EXPORT_TRANSFORM)?,
            globals: (0..globals)
                .map(|n| find(&rewrite::global_name(n)))
                .collect::<Result<_, _>>()?,
        };
        let pre = Linker::new(module.engine()).instantiate_pre(module).map_err(|e| compile(&e))?;
        Ok(Self::new(engine, id, facts, Code::Core { pre, exports }))
    }

    pub(crate) fn component(
        engine: &Engine,
        id: u64,
        facts: PluginFacts,
        component: &Component,
    ) -> Result<Self, PluginError> {
        check_component_type(component)?;
        let (_, transform) =
            component.get_export(None, COMPONENT_EXPORT).ok_or_else(|| lost(COMPONENT_EXPORT))?;
        let linker = component::Linker::new(component.engine());
        let pre = linker.instantiate_pre(component).map_err(|e| compile(&e))?;
        Ok(Self::new(engine, id, facts, Code::Component { pre, transform }))
    }

    fn new(engine: &Engine, id: u64, facts: PluginFacts, code: Code) -> Self {
        let engine = engine.clone();
        let inputs: Vec<Type> = facts.signature.inputs.iter().map(|field| field.ty).collect();
        let (one_row, image) = (OneRow::new(&inputs), OnceLock::new());
        Self { inner: Arc::new(Inner { engine, id, facts, code, one_row, image }) }
    }

    pub(crate) fn id(&self) -> u64 {
        self.inner.id
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub(crate) fn code(&self) -> &Code {
        &self.inner.code
    }

    /// One row of its inputs, if all of them are numbers or bools.
    pub(crate) fn one_row(&self) -> Option<&OneRow> {
        self.inner.one_row.as_ref()
    }

    /// The state of a fresh instance; `None` before the first, or if its memory is too large to be worth
    /// restoring.
    pub(crate) fn image(&self) -> Option<&Image> {
        self.inner.image.get()?.as_ref()
    }

    /// Takes the image from a fresh instance, unless that has been done.
    pub(crate) fn set_image(&self, take: impl FnOnce() -> Option<Image>) {
        self.inner.image.get_or_init(take);
    }

    /// What the policy means for this plugin: what can't be restored is thrown away.
    pub(crate) fn treatment(&self, policy: InstancePolicy) -> Treatment {
        match (policy, &self.inner.code) {
            (InstancePolicy::Reused, _) => Treatment::Keep,
            (InstancePolicy::Fresh, _) | (InstancePolicy::Reset, Code::Component { .. }) => {
                Treatment::Drop
            }
            (InstancePolicy::Reset, Code::Core { .. }) => {
                let too_large = matches!(self.inner.image.get(), Some(None));
                if self.inner.facts.state.restorable() && !too_large {
                    Treatment::Restore
                } else {
                    Treatment::Drop
                }
            }
        }
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin").field("facts", self.facts()).finish_non_exhaustive()
    }
}

/// The component's export must be exactly the one of the contract.
fn check_component_type(component: &Component) -> Result<(), PluginError> {
    use component::types::{ComponentItem, Type};
    let expected = "func (batch: list<u8>) -> result<list<u8>, string>";
    let wrong = |came: &str| PluginError::ExportType {
        name: COMPONENT_EXPORT,
        expected,
        came: came.to_owned(),
    };
    let bytes = |ty: &Type| matches!(ty, Type::List(list) if list.ty() == Type::U8);
    let ty = component.component_type();
    let export = ty
        .get_export(component.engine(), COMPONENT_EXPORT)
        .ok_or_else(|| lost(COMPONENT_EXPORT))?;
    let ComponentItem::ComponentFunc(function) = export.ty else {
        return Err(wrong("no function"));
    };
    if function.async_() {
        return Err(wrong("an async function"));
    }
    let params: Vec<_> = function.params().map(|(_, ty)| ty).collect();
    if !matches!(&params[..], [one] if bytes(one)) {
        return Err(wrong("other parameters"));
    }
    let results: Vec<_> = function.results().collect();
    match &results[..] {
        [Type::Result(result)]
            if result.ok().is_some_and(|ok| bytes(&ok))
                && matches!(result.err(), Some(Type::String)) =>
        {
            Ok(())
        }
        _ => Err(wrong("another result")),
    }
}

fn compile(error: &wasmtime::Error) -> PluginError {
    PluginError::Compile(bounded(&format!("{error:#}")).to_owned())
}

fn lost(name: &str) -> PluginError {
    PluginError::Compile(format!("export `{}` lost", bounded(name)))
}
