//! Plugins the tests' definitions name: signatures without any code.

use skewless_batch::{Field, Signature, Type};
use skewless_catalog::{Certified, Digest, PluginInfo, Plugins};

/// Plugins as signatures alone.
pub(crate) struct Shelf;

impl Plugins for Shelf {
    fn lookup(&self, plugin: &str) -> Result<PluginInfo, String> {
        let plain = |name: &str, ty| Field::new(name, ty, false);
        let f64s = |names: &[&str]| names.iter().map(|n| plain(n, Type::Float64)).collect();
        let (inputs, outputs): (Vec<Field>, Vec<Field>) = match plugin {
            "plugins/great_circle.wasm"
            | "plugins/great_circle_2.wasm"
            | "plugins/great_circle_3.wasm"
            | "plugins/great_circle_4.wasm" => {
                (f64s(&["lat1", "lon1", "lat2", "lon2"]), f64s(&["km", "bearing"]))
            }
            "plugins/ratio.wasm" | "plugins/old_ratio.wasm" => {
                (f64s(&["numerator", "denominator"]), f64s(&["ratio"]))
            }
            "plugins/label.wasm" => (
                vec![
                    plain("text", Type::Utf8),
                    plain("times", Type::Int32),
                    Field::new("limit", Type::Float32, true),
                    plain("flag", Type::Bool),
                ],
                vec![plain("label", Type::Utf8)],
            ),
            "plugins/cosine.wasm" => (
                vec![plain("a", Type::Embedding(4)), plain("b", Type::Embedding(4))],
                f64s(&["similarity"]),
            ),
            "plugins/odd.wasm" => (vec![], f64s(&["Bad Name"])),
            _ => return Err("there is no such file".to_owned()),
        };
        let signature =
            Signature { abi: 1, name: plugin.to_owned(), inputs, outputs, ..Signature::default() };
        Ok(PluginInfo {
            digest: Digest::of(plugin.as_bytes()),
            signature,
            certified: match plugin {
                "plugins/great_circle_2.wasm" => Certified::No,
                "plugins/great_circle_3.wasm" => {
                    Certified::Void("it is of another file".to_owned())
                }
                "plugins/great_circle_4.wasm" => {
                    Certified::ByEngine { certified: "0.0.9".to_owned(), here: "0.1.0".to_owned() }
                }
                _ => Certified::Yes,
            },
        })
    }

    fn meant(&self, plugin: &str) -> Option<String> {
        (plugin == "plugins/great_circel.wasm").then(|| "plugins/great_circle.wasm".to_owned())
    }

    fn file(&self, plugin: &str) -> String {
        format!("repo/{plugin}")
    }

    fn warning(&self, plugin: &str) -> Option<String> {
        (plugin == "plugins/old_ratio.wasm").then(|| "its source is newer".to_owned())
    }
}
