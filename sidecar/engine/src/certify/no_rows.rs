//! The call without rows, which a batch may have none of: it must be answered; not the other calls.

use serde_json::json;
use skewless_catalog::InstancePolicy;

use super::script::{Rows, is_limit};
use super::{CertifyError, Examination, Fault, Findings, POLICIES, Property};

impl Examination<'_> {
    /// The findings, with what calls without rows show. They come last: they say nothing of what rows give, so a breach here
    /// must not leave the other properties unfinished.
    pub(super) fn end_with_no_rows(self, rows: &Rows) -> Result<Findings, CertifyError> {
        let mut found = None;
        if !self.is_hopeless() {
            for policy in POLICIES {
                if let Some((property, fault)) = self.no_rows(policy, rows)? {
                    found.get_or_insert((property, fault));
                }
            }
        }
        let mut findings = self.end();
        if let Some((property, fault)) = found {
            let mut checks = findings.checks.iter_mut();
            if let Some(check) = checks.find(|check| check.property == property) {
                check.fault = Some(fault);
            }
        }
        Ok(findings)
    }

    fn no_rows(
        &self,
        policy: InstancePolicy,
        rows: &Rows,
    ) -> Result<Option<(Property, Fault)>, CertifyError> {
        let Some((called, error)) = self.subject.no_rows(policy, rows)? else { return Ok(None) };
        let property = if is_limit(&error) { Property::Limits } else { Property::Answers };
        let call = |len: usize| (0..len).map(|row| self.input(rows, row)).collect();
        let fault = Fault {
            what: "a call without rows isn't answered".to_owned(),
            policy,
            once_only: false,
            calls_before: 0,
            calls: called.into_iter().map(call).collect(),
            row: 0,
            expected: "a batch without rows".into(),
            came: json!({ "error": error.to_string() }),
        };
        Ok(Some((property, fault)))
    }
}
