//! Differences as a person reads them: one group for each thing there is to do, the worst first, one short line
//! for each change; not which differences there are.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{Change, Effect};

/// Groups in their order.
const EFFECTS: [Effect; 4] = [Effect::Breaking, Effect::Load, Effect::Backfill, Effect::Immediate];

/// All changes as text, empty if there are none. A group's first line says what to do and for which services, each of
/// them in the first group that concerns it; a change says its own services only if they are not all of its group's.
#[must_use]
pub fn report(changes: &[Change]) -> String {
    let mut text = String::new();
    let mut named: BTreeSet<&String> = BTreeSet::new();
    for effect in EFFECTS {
        let group: Vec<&Change> = changes.iter().filter(|change| change.effect == effect).collect();
        let services: BTreeSet<&String> =
            group.iter().flat_map(|change| &change.services).collect();
        if !group.is_empty() {
            let first: BTreeSet<&String> = services.difference(&named).copied().collect();
            // Writing to a String can't fail.
            let _ = writeln!(text, "{effect}{}", listed(": ", &first, ""));
            named.extend(first);
        }
        for change in group {
            let own: BTreeSet<&String> = change.services.iter().collect();
            let who = if own == services || change.kind == "service" {
                String::new()
            } else if own.is_empty() {
                " (no service uses it)".to_owned()
            } else {
                listed(" (", &own, ")")
            };
            let _ = writeln!(text, "  {change}{who}");
        }
    }
    text
}

fn listed(before: &str, names: &BTreeSet<&String>, after: &str) -> String {
    let joined = names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    if joined.is_empty() { joined } else { format!("{before}{joined}{after}") }
}
