//! Bindings of transforms against their plugins' signatures, and cycles among transforms.

use std::collections::{BTreeMap, BTreeSet};

use skewless_batch::Type;
use skewless_batch::signature::Field;

use super::{BoundTransforms, Checker, KnownPlugins};
use crate::definition::{Bound, InputDef, Literal, Spanned, TransformDef};
use crate::names::nearest;
use crate::plan::Constant;
use crate::reference::{Binding, Reference};
use crate::scope::Unresolved;

impl Checker<'_> {
    /// Binds every input of every transform; gives each transform its rank.
    pub(super) fn transforms(&mut self, known: &KnownPlugins) -> BoundTransforms {
        let mut bound = BoundTransforms::new();
        let mut needs: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for transform in &self.definitions.transforms {
            let name = transform.name.value.as_str();
            let first = !needs.contains_key(name);
            let fields =
                known.get(name).filter(|_| first).map(|info| info.signature.inputs.as_slice());
            let bindings = self.bindings(transform, fields);
            if first {
                let on = bindings.iter().flatten().filter_map(|binding| match binding {
                    Binding::Reference(Reference::Output { transform, .. }) => {
                        Some(transform.clone())
                    }
                    _ => None,
                });
                needs.insert(name, on.collect());
                bound.insert(name.to_owned(), (0, bindings.into_iter().flatten().collect()));
            }
        }
        self.rank(needs, &mut bound);
        bound
    }

    /// One binding per input of the signature; without a signature in the order of the definition.
    fn bindings(
        &mut self,
        transform: &TransformDef,
        fields: Option<&[Field]>,
    ) -> Vec<Option<Binding>> {
        let mut bindings: Vec<Option<Binding>> = Vec::new();
        bindings.resize_with(fields.map_or(0, <[Field]>::len), || None);
        let renamed = fields.and_then(|fields| renamed(transform, fields));
        for input in &transform.inputs {
            let index = fields
                .and_then(|fields| fields.iter().position(|field| field.name == input.name.value));
            if let (Some(fields), None) = (fields, index) {
                self.extra(transform, input, fields, renamed);
            }
            let field = index.and_then(|index| fields.map(|fields| &fields[index]));
            let binding = input.bound.as_ref().and_then(|bound| self.binding(bound, field));
            match index {
                Some(index) => bindings[index] = binding,
                None => bindings.push(binding),
            }
        }
        for field in fields.into_iter().flatten() {
            let given = transform.inputs.iter().any(|input| input.name.value == field.name);
            let mistyped = transform.inputs.iter().any(|input| {
                nearest(&input.name.value, [field.name.as_str()]).is_some()
                    && fields.into_iter().flatten().all(|field| field.name != input.name.value)
            });
            let mistyped = mistyped || renamed == Some(field.name.as_str());
            if !given && !mistyped && !transform.inputs_broken {
                let message = format!(
                    "expected a binding of input `{}` ({}) of transform `{}`, came none",
                    field.name, field.ty, transform.name.value
                );
                let plugin = transform.plugin_name();
                self.findings.error_of_plugin(transform.name.span, message, None, plugin);
            }
        }
        bindings
    }

    fn extra(
        &mut self,
        transform: &TransformDef,
        input: &InputDef,
        fields: &[Field],
        renamed: Option<&str>,
    ) {
        let known = fields.iter().map(|field| field.name.as_str());
        let message = format!(
            "expected an input of the plugin of transform `{}` ({}), came `{}`",
            transform.name.value,
            known.clone().collect::<Vec<_>>().join(", "),
            input.name.value
        );
        let meant = nearest(&input.name.value, known).or_else(|| renamed.map(str::to_owned));
        let message = match meant {
            Some(_) => message,
            None => format!("{message}; remove the line, or give the plugin such an input"),
        };
        let plugin = transform.plugin_name();
        self.findings.error_of_plugin(input.name.span, message, meant, plugin);
    }

    fn binding(&mut self, bound: &Spanned<Bound>, field: Option<&Field>) -> Option<Binding> {
        match &bound.value {
            Bound::Literal(literal) => match constant(literal, field?) {
                Ok(constant) => Some(Binding::Constant(constant)),
                Err(message) => {
                    self.findings.error(bound.span, message);
                    None
                }
            },
            Bound::Reference(text) => {
                let reference = Spanned { value: text.clone(), span: bound.span };
                let ty = field.map(|field| field.ty);
                let resolved = self.resolve_or(&reference, |wrong| as_constant(wrong, text, ty))?;
                if let (Some(ty), Some(field)) = (resolved.ty, field)
                    && ty != field.ty
                {
                    let message = format!(
                        "expected {} for input `{}`, came `{text}`, which is {ty}",
                        field.ty, field.name
                    );
                    self.findings.error(bound.span, message);
                }
                Some(Binding::Reference(resolved.reference))
            }
        }
    }

    /// Ranks transforms so that each comes after those it needs; reports every cycle by its path.
    fn rank(&mut self, mut needs: BTreeMap<&str, BTreeSet<String>>, bound: &mut BoundTransforms) {
        let declared: BTreeSet<String> = needs.keys().map(|name| (*name).to_owned()).collect();
        needs.values_mut().for_each(|on| on.retain(|name| declared.contains(name)));
        let mut users: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut open: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, on) in &needs {
            open.insert(name, on.len());
            on.iter().for_each(|needed| users.entry(needed).or_default().push(name));
        }
        let mut ready: BTreeSet<&str> =
            open.iter().filter(|(_, open)| **open == 0).map(|(name, _)| *name).collect();
        let mut next = 0;
        while let Some(name) = ready.pop_first() {
            open.remove(name);
            if let Some((rank, _)) = bound.get_mut(name) {
                *rank = next;
                next += 1;
            }
            for user in users.get(name).into_iter().flatten() {
                if let Some(open) = open.get_mut(user) {
                    *open -= 1;
                    if *open == 0 {
                        ready.insert(user);
                    }
                }
            }
        }
        let mut left: BTreeSet<&str> = open.into_keys().collect();
        while let Some(first) = left.first().copied() {
            self.cycle(first, &needs, &mut left);
        }
    }

    /// Walks from a transform that can't be ranked until it meets itself; every such walk ends in a
    /// cycle, because each transform left over needs another one left over.
    fn cycle<'n>(
        &mut self,
        first: &'n str,
        needs: &'n BTreeMap<&str, BTreeSet<String>>,
        left: &mut BTreeSet<&'n str>,
    ) {
        let mut path: Vec<&str> = vec![first];
        let mut met: BTreeMap<&str, usize> = BTreeMap::from([(first, 0)]);
        loop {
            let last = path[path.len() - 1];
            let mut on = needs.get(last).into_iter().flatten().map(String::as_str);
            let Some(next) = on.find(|name| left.contains(name)) else {
                break; // It leads only into a cycle that was reported before.
            };
            if let Some(from) = met.get(next) {
                let cycle = [&path[*from..], &[next]].concat().join(" -> ");
                let at = self.definitions.transforms.iter().find(|t| t.name.value == next);
                if let Some(transform) = at {
                    let message = format!("expected transforms without a cycle, came {cycle}");
                    self.findings.error(transform.name.span, message);
                }
                break;
            }
            met.insert(next, path.len());
            path.push(next);
        }
        path.iter().for_each(|name| _ = left.remove(name));
    }
}

/// The plugin's input that is meant by the one name that it doesn't have, if it is the only one without a binding.
fn renamed<'f>(transform: &TransformDef, fields: &'f [Field]) -> Option<&'f str> {
    let inputs = || transform.inputs.iter().map(|input| input.name.value.as_str());
    let unknown = inputs().filter(|name| fields.iter().all(|field| field.name != *name)).count();
    let mut unbound = fields.iter().filter(|field| inputs().all(|name| field.name != name));
    let meant = unbound.next()?;
    (unknown == 1 && unbound.next().is_none()).then_some(meant.name.as_str())
}

/// How a text is written that was meant as a constant and taken for a reference; `None` where the input's type takes
/// no such constant. Without a type it may be any.
fn as_constant(wrong: &Unresolved, text: &str, ty: Option<Type>) -> Option<String> {
    let number = text.parse::<f64>().is_ok_and(f64::is_finite);
    let takes = |types: &[Type]| ty.is_none_or(|ty| types.contains(&ty));
    let numbers = [Type::Int32, Type::Int64, Type::Float32, Type::Float64];
    let bare =
        (number && takes(&numbers)) || (matches!(text, "true" | "false") && takes(&[Type::Bool]));
    // Of two names with a dot between them, one is just not declared.
    let text_like = wrong.kind == "reference" || number;
    if bare {
        Some(format!("a constant is written without quotes: {text}"))
    } else if text_like && takes(&[Type::Utf8]) && !text.is_empty() {
        Some(format!("a constant text is written {{constant: {}}}", yaml_text(text)))
    } else {
        None
    }
}

/// A text as it stands in YAML: in quotes if it could be anything else.
fn yaml_text(text: &str) -> String {
    const SHOWN_MAX: usize = 40;
    let word = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    let bare = word && text.starts_with(|c: char| c.is_ascii_alphabetic());
    match text.len() {
        SHOWN_MAX.. => "..".to_owned(),
        _ if bare && !matches!(text, "true" | "false" | "null") => text.to_owned(),
        _ => format!("{text:?}"),
    }
}

/// A literal as the type of the input it is bound to.
fn constant(literal: &Literal, field: &Field) -> Result<Constant, String> {
    let came = match literal {
        Literal::Null if field.nullable => return Ok(Constant::Null),
        Literal::Null => {
            "null: the input is not nullable, its outputs would always be null".to_owned()
        }
        Literal::Bool(value) => format!("the bool {value}"),
        Literal::Int(value) => format!("the integer {value}"),
        Literal::Float(value) => format!("the float {value:?}"),
        Literal::Text(value) => format!("the text {}", crate::yaml::quote(value)),
    };
    let converted = match (field.ty, literal) {
        (Type::Bool, Literal::Bool(value)) => Some(Constant::Bool(*value)),
        (Type::Int32, Literal::Int(value)) => i32::try_from(*value).ok().map(Constant::Int32),
        (Type::Int64, Literal::Int(value)) => Some(Constant::Int64(*value)),
        (Type::Float32, Literal::Int(value)) => {
            exact(*value, 24).map(|v| Constant::Float32(v as f32))
        }
        (Type::Float64, Literal::Int(value)) => exact(*value, 53).map(Constant::Float64),
        (Type::Float32, Literal::Float(value)) => {
            Some(*value as f32).filter(|value| value.is_finite()).map(Constant::Float32)
        }
        (Type::Float64, Literal::Float(value)) => {
            Some(*value).filter(|value| value.is_finite()).map(Constant::Float64)
        }
        (Type::Utf8, Literal::Text(value)) => Some(Constant::Utf8(value.clone())),
        (
            Type::Bool | Type::Int32 | Type::Int64 | Type::Float32 | Type::Float64 | Type::Utf8,
            _,
        ) => None,
        (ty, _) => {
            return Err(format!(
                "expected a reference for input `{}`: there are no constants of type {ty}; came {came}",
                field.name
            ));
        }
    };
    converted
        .ok_or_else(|| format!("expected {} for input `{}`, came {came}", field.ty, field.name))
}

/// The integer as a float, if a float of this many bits holds it exactly.
fn exact(value: i64, bits: u32) -> Option<f64> {
    (value.unsigned_abs() <= 1 << bits).then_some(value as f64)
}
