//! Feast's names for what ours are: `view:feature` in requests, `feature` or `view__feature` in answers; not what they
//! resolve to. What an import had to rename is known by Feast's name and by ours, and answered by the one that was asked for.

use std::collections::BTreeSet;

use skewless_catalog::Plan;
use skewless_catalog::plan::Output;

use super::answer::{Origin, Shown};
use super::request::{Ask, came_as};
use crate::repo::feast_names::{DUMMY_KEY, FeastNames};
use crate::status::ServeError;

/// Our reference for Feast's: `view:feature` is `view.feature`, and so with a role or a transform's output.
pub(super) fn reference(feast: &str, names: &FeastNames) -> Result<String, ServeError> {
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
    let (view, role) = head.find('[').map_or((head, ""), |at| head.split_at(at));
    let view = names.head(view);
    Ok(format!("{view}{role}.{}", names.feature(view, tail)))
}

/// The answer's columns: the join keys as they came, then what the plan gives, in its order. Two of one name are refused.
pub(super) fn columns(
    ask: &Ask,
    plan: &Plan,
    feast: &FeastNames,
    lengths: &[(String, usize)],
) -> Result<Vec<Shown>, ServeError> {
    let mut columns: Vec<Shown> = Vec::with_capacity(plan.keys.len() + plan.outputs.len());
    for (index, key) in plan.keys.iter().enumerate() {
        let name = match came_as(lengths, [&key.name, feast.join_key(&key.name)]) {
            Some(name) => name,
            // Feast's clients know of no such key.
            None if feast.join_key(&key.name) == DUMMY_KEY => continue,
            None => &key.name,
        };
        // One column may be two keys, each with a type of its own.
        if !columns.iter().any(|shown| shown.name == name) {
            columns.push(Shown { name: name.to_owned(), from: Origin::Key(index) });
        }
    }
    let mut seen: BTreeSet<String> = columns.iter().map(|shown| shown.name.clone()).collect();
    let service = ask.service.as_deref().map(|name| feast.service(name));
    let outputs = match service {
        Some(service) => in_service(plan, feast, service, ask.full_feature_names),
        None => listed(plan, ask),
    };
    for (output, name) in plan.outputs.iter().zip(outputs) {
        let is_key =
            |&(key, slot): &(usize, usize)| slot == output.slot && plan.keys[key].name == name;
        if plan.key_slots.iter().any(is_key) {
            continue;
        }
        if !seen.insert(name.clone()) {
            return Err(ServeError::Twice { name, output: output.name.clone() });
        }
        columns.push(Shown {
            name,
            from: Origin::Slot { slot: output.slot, lookup: lookup(plan, output.slot) },
        });
    }
    Ok(columns)
}

/// What the features of a list are called: as they were asked for.
fn listed(plan: &Plan, ask: &Ask) -> Vec<String> {
    let shown = |(output, asked): (&Output, &String)| match asked.split_once(':') {
        Some((_, tail)) if !ask.full_feature_names => tail.to_owned(),
        Some((head, tail)) => format!("{head}__{tail}"),
        None => output.name.clone(),
    };
    plan.outputs.iter().zip(&ask.features).map(shown).collect()
}

/// What the features of a service are called. One that was imported has Feast's names; but where Feast would give two features
/// one name, as it does of a view and the same view under another name, only the view's own has it.
fn in_service(plan: &Plan, feast: &FeastNames, service: &str, full: bool) -> Vec<String> {
    let theirs = |output: &Output, full: bool| match feast.in_service(service, &output.name) {
        Some((_, feature)) if !full => feature.to_owned(),
        Some((head, feature)) => format!("{head}__{feature}"),
        None => called(&output.name, &plan.slots[output.slot].name, full),
    };
    let all: Vec<String> = plan.outputs.iter().map(|output| theirs(output, full)).collect();
    let is_free = |name: &String| {
        let mut keys = plan.keys.iter().map(|key| feast.join_key(&key.name));
        keys.all(|key| key != name) && all.iter().filter(|other| *other == name).count() == 1
    };
    let shown = |(output, name): (&Output, &String)| {
        let slot = &plan.slots[output.slot].name;
        let is_own = output.name == *slot && !slot.contains('[');
        match is_own || is_free(name) {
            true => name.clone(),
            false if full => called(&output.name, slot, full),
            false => theirs(output, true),
        }
    };
    plan.outputs.iter().zip(&all).map(shown).collect()
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
        let names = FeastNames::default();
        let ours = |feast| reference(feast, &names).map_err(|error| error.to_string());
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
