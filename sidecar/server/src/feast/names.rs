//! Feast's names for what ours are: `view:feature` in requests, `feature` or `view__feature` in answers; not what they
//! resolve to.

use std::collections::BTreeSet;

use skewless_catalog::Plan;

use super::answer::{Origin, Shown};
use crate::status::ServeError;

/// Our reference for Feast's: `view:feature` is `view.feature`, and so with a role or a transform's output.
pub(super) fn reference(feast: &str) -> Result<String, ServeError> {
    let Some((head, tail)) = feast.split_once(':') else {
        return Err(ServeError::Field(format!(
            "expected features such as `view:feature`, came `{feast}`"
        )));
    };
    if head.contains('@') {
        return Err(ServeError::Field(format!(
            "expected features such as `view:feature`, came `{feast}`: of a view one version is served, the one that is \
             declared"
        )));
    }
    Ok(format!("{head}.{tail}"))
}

/// The answer's columns: the join keys, then what the plan gives, in its order. Two of one name are refused.
pub(super) fn columns(plan: &Plan, full: bool) -> Result<Vec<Shown>, ServeError> {
    let key = |(index, key): (usize, &skewless_catalog::plan::KeyColumn)| Shown {
        name: key.name.clone(),
        from: Origin::Key(index),
    };
    let mut columns: Vec<Shown> = plan.keys.iter().enumerate().map(key).collect();
    let mut seen: BTreeSet<String> = columns.iter().map(|shown| shown.name.clone()).collect();
    for output in &plan.outputs {
        let name = called(&output.name, &plan.slots[output.slot].name, full);
        let is_key =
            |&(key, slot): &(usize, usize)| slot == output.slot && plan.keys[key].name == name;
        if plan.key_slots.iter().any(is_key) {
            continue;
        }
        if !seen.insert(name.clone()) {
            return Err(ServeError::Field(format!(
                "expected features of different names, came `{name}` twice (`{}` is one of them); ask with \
                 full_feature_names",
                output.name
            )));
        }
        columns.push(Shown {
            name,
            from: Origin::Slot { slot: output.slot, lookup: lookup(plan, output.slot) },
        });
    }
    Ok(columns)
}

/// What a feature is called in an answer. What a service calls otherwise than it is, is called so.
fn called(name: &str, slot: &str, full: bool) -> String {
    match name.split_once('.') {
        Some((_, tail)) if name == slot && !full => tail.to_owned(),
        Some((head, tail)) if name == slot => format!("{head}__{tail}"),
        _ => name.to_owned(),
    }
}

/// The lookup that a slot is filled by.
fn lookup(plan: &Plan, slot: usize) -> Option<usize> {
    let fills = |lookup: &skewless_catalog::plan::Lookup| {
        lookup.features.iter().any(|(_, filled)| *filled == slot)
    };
    plan.lookups.iter().position(fills)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_of_feast_is_one_of_ours() {
        let ours = |feast| reference(feast).map_err(|error| error.to_string());
        assert_eq!(ours("weather:wind").as_deref(), Ok("weather.wind"));
        assert_eq!(ours("weather[origin]:wind").as_deref(), Ok("weather[origin].wind"));
        let none = ours("weather.wind");
        assert!(none.is_err_and(|error| error.contains("came `weather.wind`")));
        let version = ours("weather@v2:wind");
        assert!(version.is_err_and(|error| error.contains("one version")));
    }

    #[test]
    fn a_feature_is_called_by_its_name_or_in_full_and_an_alias_as_it_is() {
        assert_eq!(called("weather.wind", "weather.wind", false), "wind");
        assert_eq!(called("weather.wind", "weather.wind", true), "weather__wind");
        assert_eq!(
            called("weather[origin].wind", "weather[origin].wind", true),
            "weather[origin]__wind"
        );
        for full in [false, true] {
            assert_eq!(called("breeze", "weather.wind", full), "breeze");
            assert_eq!(called("a.b", "weather.wind", full), "a.b");
        }
    }
}
