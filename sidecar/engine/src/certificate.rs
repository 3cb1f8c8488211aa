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

use crate::certify::{CASES_MIN, Check, Fault, Findings, Property, answered_enough};
use crate::config::EngineConfig;
use crate::error::bounded;
use crate::plugin::Plugin;

/// What takes the place of `.wasm` in the name of a plugin's certificate.
pub const CERTIFICATE_EXTENSION: &str = "certificate.json";
/// Bytes of a certificate. One that passed has less than 2 KiB, one that failed has its rows.
pub const CERTIFICATE_BYTES_MAX: usize = 4 << 20;
/// The version of this engine, which a certificate names.
pub const ENGINE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version of the document's form and of what is examined: a certificate of fewer checks, or of ones that looked for
/// less, is of another form. [`CertificateError::Version`] says it, too.
const FORM: u32 = 3;

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
    /// Bytes of memory that an instance could have; `None` of an older version, which knew the default alone.
    pub memory_bytes_max: Option<usize>,
}

/// Why a certificate doesn't count.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CertificateError {
    /// It can't be read.
    #[error("expected a certificate, came: {0}")]
    Form(String),
    /// Another version of Skewless wrote it in another form.
    #[error("expected a certificate of form 3, came {came}: another version examined it")]
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
    /// It says less than an examination finds: a check is missing, or there were too few cases.
    #[error("expected a certificate of a whole examination, came one {0}")]
    Incomplete(String),
    /// It was held to another contract.
    #[error("expected a certificate for abi {expected}, came {came}")]
    Abi {
        /// This engine's.
        expected: u32,
        /// The certificate's.
        came: u32,
    },
    /// It was examined with more memory than it is to run with.
    #[error(
        "expected engine.memory_bytes_max of at least {examined}, with which the plugin was examined, came {came}"
    )]
    Memory {
        /// What an instance could have.
        examined: usize,
        /// What it may have here.
        came: usize,
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
        "memory_bytes_max": plugin.engine().config().memory_bytes_max,
        "seed": seed,
        "cases": findings.cases,
        "rows": findings.rows,
        "rows_answerable": findings.rows_answerable,
        "rows_answered": findings.rows_answered,
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
    if let Some(lack) = lack(&json) {
        return Err(CertificateError::Incomplete(lack));
    }
    let failed = json.checks.into_iter().filter(|check| check.result != word(true));
    let failed: Vec<String> = failed.map(|check| bounded(&check.name).to_owned()).collect();
    Ok(Certificate {
        digest: json.digest.parse().map_err(|_| wrong("a digest that is no SHA-256"))?,
        engine: bounded(&json.engine).to_owned(),
        abi: json.abi,
        passed: json.result == word(true) && failed.is_empty(),
        failed,
        memory_bytes_max: json.memory_bytes_max,
    })
}

impl Certificate {
    /// Whether it says of this plugin file that it may be relied on. Another engine than this one is no reason why
    /// not: what it says is about the file's code, and code means the same to every engine of the contract. Memory is: what
    /// was found with more than the default holds only where there is as much.
    pub fn check(&self, digest: &Digest, limits: &EngineConfig) -> Result<(), CertificateError> {
        if self.digest != *digest {
            return Err(CertificateError::Digest { expected: *digest, came: self.digest });
        }
        if self.abi != ABI_VERSION {
            return Err(CertificateError::Abi { expected: ABI_VERSION, came: self.abi });
        }
        let came = limits.memory_bytes_max;
        let default = EngineConfig::default().memory_bytes_max;
        if let Some(examined) = self.memory_bytes_max.filter(|bytes| *bytes > came.max(default)) {
            return Err(CertificateError::Memory { examined, came });
        }
        if !self.passed {
            return Err(CertificateError::Failed { failed: self.failed.join(", ") });
        }
        Ok(())
    }
}

/// What keeps a certificate from being that of a whole examination, if anything does. One that says that the plugin failed
/// may have ended early.
fn lack(certificate: &JsonCertificate) -> Option<String> {
    let JsonCertificate { checks, cases, .. } = certificate;
    for property in Property::ALL {
        let word = property.word();
        let times = checks.iter().filter(|check| check.name == word).count();
        if times != 1 {
            return Some(format!("with {times} checks of {word} instead of 1"));
        }
    }
    if let Some(check) =
        checks.iter().find(|check| Property::ALL.iter().all(|known| known.word() != check.name))
    {
        return Some(format!("with a check that is none: {}", bounded(&check.name)));
    }
    let JsonCertificate { rows_answerable, rows_answered, .. } = certificate;
    if checks.iter().all(|check| check.result == word(true))
        && !answered_enough(*rows_answerable, *rows_answered)
    {
        return Some(format!("of {rows_answerable} rows of which {rows_answered} gave a value"));
    }
    let short = certificate.result == word(true) && *cases < CASES_MIN;
    short.then(|| format!("of {cases} cases, which should be at least {CASES_MIN}"))
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
        "calls_before": fault.calls_before,
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
    cases: u32,
    rows_answerable: u64,
    rows_answered: u64,
    memory_bytes_max: Option<usize>,
    checks: Vec<JsonCheck>,
}

#[derive(Deserialize)]
struct JsonCheck {
    name: String,
    result: String,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// Of an examination that found everything well, or the order of rows to matter.
    fn text(digest: &Digest, abi: u32, result: &str) -> String {
        let check = |property: Property| {
            let result = if property == Property::RowOrder { result } else { "pass" };
            format!(r#"{{"name":"{}","result":"{result}","runs":3}}"#, property.word())
        };
        let checks = Property::ALL.map(check).join(",");
        format!(
            r#"{{"certificate":3,"digest":"{digest}","abi":{abi},"engine":"0.1.0","result":"{result}","cases":16,"rows_answerable":100,"rows_answered":1,"checks":[{checks}]}}"#
        )
    }

    fn checked(text: &str, digest: &Digest) -> Result<(), CertificateError> {
        read(text.as_bytes())?.check(digest, &EngineConfig::default())
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
    fn what_was_examined_with_more_memory_counts_where_there_is_as_much() {
        let digest = Digest::of(b"a");
        let default = EngineConfig::default().memory_bytes_max;
        let checked = |examined: usize, memory_bytes_max: usize| {
            let text = text(&digest, ABI_VERSION, "pass");
            let text = text.replace(
                "{\"certificate",
                &format!("{{\"memory_bytes_max\":{examined},\"certificate"),
            );
            let limits = EngineConfig { memory_bytes_max, ..EngineConfig::default() };
            read(text.as_bytes())?.check(&digest, &limits)
        };
        assert_eq!(checked(default, default), Ok(()));
        // As before certificates told it.
        assert_eq!(checked(default, default / 2), Ok(()));
        assert_eq!(checked(2 * default, 2 * default), Ok(()));
        let refused = Err(CertificateError::Memory { examined: 2 * default, came: default });
        assert_eq!(checked(2 * default, default), refused);
    }

    #[test]
    fn a_result_that_its_checks_contradict_does_not_count() {
        let digest = Digest::of(b"a");
        let text = text(&digest, ABI_VERSION, "pass");
        let text = text
            .replace(r#""row_order","result":"pass""#, r#""row_order","result":"not finished""#);
        let failed = checked(&text, &digest);
        assert_eq!(failed, Err(CertificateError::Failed { failed: "row_order".to_owned() }));
    }

    #[test]
    fn a_certificate_that_says_less_than_an_examination_finds_does_not_count() {
        let digest = Digest::of(b"a");
        let whole = text(&digest, ABI_VERSION, "pass");
        let check = |name: &str| format!(r#",{{"name":"{name}","result":"pass","runs":3}}"#);
        let (order, end) = (check("row_order"), "]}");
        let (none, _) = whole.split_once('[').unwrap();
        for (text, expected) in [
            (format!("{none}[]}}"), "with 0 checks of no_imports instead of 1"),
            (whole.replace(&order, ""), "with 0 checks of row_order instead of 1"),
            (whole.replace(&order, &order.repeat(2)), "with 2 checks of row_order instead of 1"),
            (whole.replace(end, &format!("{}{end}", check("luck"))), "check that is none: luck"),
            (
                whole.replace(r#""rows_answerable":100"#, r#""rows_answerable":101"#),
                "of 101 rows of which 1 gave a value",
            ),
            (
                whole.replace(r#""cases":16"#, r#""cases":15"#),
                "of 15 cases, which should be at least 16",
            ),
        ] {
            let error = checked(&text, &digest).unwrap_err();
            assert!(matches!(error, CertificateError::Incomplete(_)), "{error}: {text}");
            assert!(error.to_string().contains(expected), "{error}: {text}");
        }
        // One that failed may have ended early, and is told as that.
        let early = text(&digest, ABI_VERSION, "fail").replace(r#""cases":16"#, r#""cases":1"#);
        let failed = checked(&early, &digest);
        assert_eq!(failed, Err(CertificateError::Failed { failed: "row_order".to_owned() }));
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        for text in ["", "[]", "{}", r#"{"certificate":3}"#, r#"{"certificate":"3"}"#] {
            assert!(matches!(read(text.as_bytes()), Err(CertificateError::Form(_))), "{text}");
        }
        for came in [1, 2, 4] {
            let other = read(format!(r#"{{"certificate":{came},"anything":[]}}"#).as_bytes());
            assert_eq!(other, Err(CertificateError::Version { came }));
        }
        let digest = text(&Digest::of(b"a"), 1, "pass").replace("digest\":\"", "digest\":\"x");
        assert!(matches!(read(digest.as_bytes()), Err(CertificateError::Form(_))));
    }
}
