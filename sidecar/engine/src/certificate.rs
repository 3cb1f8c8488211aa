//! The document that says what an examination found of one plugin file; not the examination.
//!
//! JSON beside the plugin, `<name>.certificate.json`: the same plugin, seed and number of cases give the same bytes.
//! Whoever may write the plugin's folder may write a certificate: it protects from mistakes, not from people.
//!
//! Limit: [`CERTIFICATE_BYTES_MAX`].

use serde::Deserialize;
use serde_json::{Value as Json, json};
use skewless_batch::abi::ABI_VERSION;
use skewless_catalog::Digest;

use crate::certify::{Check, Fault, Findings};
use crate::error::bounded;
use crate::plugin::Plugin;

/// What takes the place of `.wasm` in the name of a plugin's certificate.
pub const CERTIFICATE_EXTENSION: &str = "certificate.json";
/// Bytes of a certificate. One that passed has less than 2 KiB, one that failed has its rows.
pub const CERTIFICATE_BYTES_MAX: usize = 4 << 20;
/// The version of this engine, which a certificate names.
pub const ENGINE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version of the document's form; [`CertificateError::Version`] says it, too.
const FORM: u32 = 1;

/// What a certificate says, as far as whoever relies on it must know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// The plugin file that was examined.
    pub digest: Digest,
    /// The engine that examined it.
    pub engine: String,
    /// The version of the contract that it was held to.
    pub abi: u32,
    /// Whether no breach was found.
    pub passed: bool,
    /// The properties that were found broken.
    pub failed: Vec<String>,
}

/// Why a certificate doesn't count.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CertificateError {
    /// It can't be read.
    #[error("expected a certificate, came: {0}")]
    Form(String),
    /// Another version of Skewless wrote it in another form.
    #[error("expected a certificate of form 1, came {came}")]
    Version {
        /// Its form.
        came: u32,
    },
    /// It is of another file.
    #[error(
        "expected the certificate of sha256:{expected}, came that of sha256:{came}: the plugin was built anew since"
    )]
    Digest {
        /// The plugin.
        expected: Digest,
        /// What was examined.
        came: Digest,
    },
    /// It was held to another contract.
    #[error("expected a certificate for abi {expected}, came {came}")]
    Abi {
        /// This engine's.
        expected: u32,
        /// The certificate's.
        came: u32,
    },
    /// It says that the plugin failed.
    #[error("expected a certificate that passed, came one that failed ({failed})")]
    Failed {
        /// The broken properties.
        failed: String,
    },
}

/// The certificate of what was found, as text.
#[must_use]
pub fn write(plugin: &Plugin, seed: u64, findings: &Findings) -> String {
    let signature = plugin.signature();
    let certificate = json!({
        "certificate": FORM,
        "digest": plugin.digest().to_string(),
        "plugin": signature.name,
        "version": signature.version,
        "abi": signature.abi,
        "engine": ENGINE_VERSION,
        "seed": seed,
        "cases": findings.cases,
        "rows": findings.rows,
        "rows_broke": findings.rows_broke,
        "checks": findings.checks.iter().map(check).collect::<Vec<_>>(),
        "result": word(findings.passed()),
    });
    format!("{certificate:#}\n")
}

/// Reads a certificate's bytes.
pub fn read(bytes: &[u8]) -> Result<Certificate, CertificateError> {
    let wrong = |message: &str| CertificateError::Form(bounded(message).to_owned());
    let form: JsonForm = serde_json::from_slice(bytes).map_err(|e| wrong(&e.to_string()))?;
    if form.certificate != FORM {
        return Err(CertificateError::Version { came: form.certificate });
    }
    let json: JsonCertificate = serde_json::from_slice(bytes).map_err(|e| wrong(&e.to_string()))?;
    let failed = json.checks.into_iter().filter(|check| check.result != word(true));
    let failed: Vec<String> = failed.map(|check| bounded(&check.name).to_owned()).collect();
    Ok(Certificate {
        digest: json.digest.parse().map_err(|_| wrong("a digest that is no SHA-256"))?,
        engine: bounded(&json.engine).to_owned(),
        abi: json.abi,
        passed: json.result == word(true) && failed.is_empty(),
        failed,
    })
}

impl Certificate {
    /// Whether it says of this plugin file that it may be relied on. Another engine than this one is no reason why
    /// not: what it says is about the file's code, and code means the same to every engine of the contract.
    pub fn check(&self, digest: &Digest) -> Result<(), CertificateError> {
        if self.digest != *digest {
            return Err(CertificateError::Digest { expected: *digest, came: self.digest });
        }
        if self.abi != ABI_VERSION {
            return Err(CertificateError::Abi { expected: ABI_VERSION, came: self.abi });
        }
        if !self.passed {
            return Err(CertificateError::Failed { failed: self.failed.join(", ") });
        }
        Ok(())
    }
}

fn word(passed: bool) -> &'static str {
    if passed { "pass" } else { "fail" }
}

fn check(check: &Check) -> Json {
    let result = match (&check.fault, check.finished) {
        (Some(_), _) => word(false),
        (None, true) => word(true),
        (None, false) => "not finished",
    };
    let mut json = json!({
        "name": check.property.word(),
        "result": result,
        "runs": check.runs,
    });
    if let Some(fault) = &check.fault {
        json["counterexample"] = counterexample(fault);
    }
    json
}

fn counterexample(fault: &Fault) -> Json {
    json!({
        "what": fault.what,
        "instance": fault.policy.word(),
        "once_only": fault.once_only,
        "calls": fault.calls,
        "row": fault.row,
        "expected": fault.expected,
        "came": fault.came,
    })
}

#[derive(Deserialize)]
struct JsonForm {
    certificate: u32,
}

#[derive(Deserialize)]
struct JsonCertificate {
    digest: String,
    engine: String,
    abi: u32,
    result: String,
    checks: Vec<JsonCheck>,
}

#[derive(Deserialize)]
struct JsonCheck {
    name: String,
    result: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(digest: &Digest, abi: u32, result: &str) -> String {
        let checks = format!(r#"[{{"name":"row_order","result":"{result}","runs":3}}]"#);
        format!(
            r#"{{"certificate":1,"digest":"{digest}","abi":{abi},"engine":"0.1.0","result":"{result}","checks":{checks}}}"#
        )
    }

    fn checked(text: &str, digest: &Digest) -> Result<(), CertificateError> {
        read(text.as_bytes())?.check(digest)
    }

    #[test]
    fn a_certificate_counts_for_its_file_and_contract_if_it_passed() {
        let (digest, other) = (Digest::of(b"a"), Digest::of(b"b"));
        assert_eq!(checked(&text(&digest, ABI_VERSION, "pass"), &digest), Ok(()));
        assert_eq!(
            checked(&text(&digest, ABI_VERSION, "pass"), &other),
            Err(CertificateError::Digest { expected: other, came: digest })
        );
        assert_eq!(
            checked(&text(&digest, 7, "pass"), &digest),
            Err(CertificateError::Abi { expected: ABI_VERSION, came: 7 })
        );
        assert_eq!(
            checked(&text(&digest, ABI_VERSION, "fail"), &digest),
            Err(CertificateError::Failed { failed: "row_order".to_owned() })
        );
    }

    #[test]
    fn a_result_that_its_checks_contradict_does_not_count() {
        let digest = Digest::of(b"a");
        let text = text(&digest, ABI_VERSION, "pass");
        let text = text.replace(r#""result":"pass","runs""#, r#""result":"not finished","runs""#);
        let failed = checked(&text, &digest);
        assert_eq!(failed, Err(CertificateError::Failed { failed: "row_order".to_owned() }));
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        for text in ["", "[]", "{}", r#"{"certificate":1}"#, r#"{"certificate":"1"}"#] {
            assert!(matches!(read(text.as_bytes()), Err(CertificateError::Form(_))), "{text}");
        }
        let later = read(br#"{"certificate":2,"anything":[]}"#);
        assert_eq!(later, Err(CertificateError::Version { came: 2 }));
        let digest = text(&Digest::of(b"a"), 1, "pass").replace("digest\":\"", "digest\":\"x");
        assert!(matches!(read(digest.as_bytes()), Err(CertificateError::Form(_))));
    }
}
