//! What a plugin says it was made with, in the section `producers` of WebAssembly's tool conventions: its language, who
//! compiled it, and the SDK. For people who look at a file; no host reads it to decide anything.

use crate::{BuildError, module};

/// The section, at the top level of a module or component.
pub(crate) const SECTION: &str = "producers";
/// The section in which an SDK leaves its version for the build.
const SDK_SECTION: &str = "skewless.sdk";

/// What made a plugin; a name and a version each.
pub(crate) struct Producers<'a> {
    pub(crate) language: (&'a str, &'a str),
    /// Compilers and tools, in the order in which they worked.
    pub(crate) processed_by: &'a [(&'a str, &'a str)],
    /// The SDK that leaves its version in the compiled module.
    pub(crate) sdk: Option<&'a str>,
}

impl Producers<'_> {
    /// Adds the section to a binary that has none.
    pub(crate) fn append(&self, sdk_version: Option<&str>, wasm: &mut Vec<u8>) {
        let sdk = self.sdk.zip(sdk_version);
        let language = [self.language];
        let fields: [(&str, &[(&str, &str)]); 3] =
            [("language", &language), ("processed-by", self.processed_by), ("sdk", sdk.as_slice())];
        let fields = fields.iter().filter(|(_, values)| !values.is_empty());
        let mut content = Vec::new();
        module::leb128(fields.clone().count(), &mut content);
        for (field, values) in fields {
            text(field, &mut content);
            module::leb128(values.len(), &mut content);
            for (name, version) in *values {
                text(name, &mut content);
                text(version, &mut content);
            }
        }
        module::append(wasm, SECTION, &content);
    }
}

/// The version that the SDK left in a compiled module, if it left one.
pub(crate) fn sdk_version(wasm: &[u8]) -> Result<Option<String>, BuildError> {
    let content = module::section(wasm, SDK_SECTION)?;
    Ok(content.and_then(|version| String::from_utf8(version).ok()))
}

fn text(text: &str, out: &mut Vec<u8>) {
    module::leb128(text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use wasmparser::{KnownCustom, Parser, Payload};

    use super::*;

    #[test]
    fn other_tools_read_what_is_written() {
        let mut wasm = b"\0asm\x01\0\0\0".to_vec();
        let long = "v".repeat(300);
        Producers {
            language: ("Rust", ""),
            processed_by: &[("rustc", "1.95.0"), ("skewless-build", &long)],
            sdk: Some("skewless-sdk"),
        }
        .append(None, &mut wasm);
        let mut read = Vec::new();
        for payload in Parser::new(0).parse_all(&wasm) {
            let Payload::CustomSection(section) = payload.unwrap() else { continue };
            let KnownCustom::Producers(fields) = section.as_known() else { panic!("not known") };
            for field in fields {
                let field = field.unwrap();
                for value in field.values {
                    let value = value.unwrap();
                    read.push((field.name, value.name, value.version));
                }
            }
        }
        let expected = [
            ("language", "Rust", ""),
            ("processed-by", "rustc", "1.95.0"),
            ("processed-by", "skewless-build", long.as_str()),
        ];
        assert_eq!(read, expected, "a field without values is left out");
    }
}
