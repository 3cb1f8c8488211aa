//! Which column of a batch is which input of a plan; not how it is read.
//!
//! Feast's Go server calls a stored feature by its name, or `view__feature` if its client asked for full names; its Java
//! server always calls it so. Request values and join keys have their own names. The Go server sends every column of its
//! request, also those that other on-demand views want: so what isn't wanted is passed over. That a misspelt column be
//! passed over, too, is guarded against where it would be silent: a request column that may be null is refused if it is
//! missing and another column is called nearly so.

use skewless_batch::Type;
use skewless_catalog::Plan;
use skewless_catalog::names::nearest;
use skewless_server::transformations::Names;

/// Names of columns that a message lists.
const LISTED_MAX: usize = 32;

/// A column of a batch and where its values belong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Found {
    /// Its index in the batch.
    pub(super) at: usize,
    pub(super) ty: Type,
    pub(super) target: Target,
}

/// A column of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Target {
    /// Index into the plan's keys.
    Key(usize),
    /// Index into its slots.
    Slot(usize),
}

/// What a plan wants of a batch.
struct Wanted {
    /// Our name of it, for people.
    what: String,
    /// What it may be called, the first name that is there counts.
    names: Vec<String>,
    ty: Type,
    /// Whether it may be missing, and is null then.
    optional: bool,
    target: Target,
}

/// The columns that a plan wants, found among these; or what is wrong with them, in words.
pub(super) fn find(plan: &Plan, called: Names<'_>, columns: &[&str]) -> Result<Vec<Found>, String> {
    let wanted = wanted(plan, called);
    let is_wanted = |column: &&str| wanted.iter().any(|of| of.names.iter().any(|n| n == column));
    let unused: Vec<&str> = columns.iter().copied().filter(|column| !is_wanted(column)).collect();
    let mut found = Vec::with_capacity(wanted.len());
    for of in &wanted {
        let called = of.names.iter().find(|name| columns.contains(&name.as_str()));
        let Some(name) = called else {
            let near = of.names.iter().find_map(|name| nearest(name, unused.iter().copied()));
            if of.optional && near.is_none() {
                continue;
            }
            return Err(missing(of, near, columns));
        };
        let mut at = columns.iter().enumerate().filter(|(_, column)| *column == name);
        let first = at.next().map(|(at, _)| at).unwrap_or_default();
        if at.next().is_some() {
            return Err(format!("expected one column `{name}`, came several"));
        }
        found.push(Found { at: first, ty: of.ty, target: of.target });
    }
    Ok(found)
}

fn wanted(plan: &Plan, called: Names<'_>) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for (key, column) in plan.keys.iter().enumerate() {
        // A key by which alone a store would be asked isn't needed: its rows have come.
        if plan.key_slots.iter().any(|(used, _)| *used == key) {
            wanted.push(Wanted {
                what: format!("entity.{}", column.name),
                names: each_once([&*column.name, called.feast.join_key(&column.name)]),
                ty: column.ty,
                optional: false,
                target: Target::Key(key),
            });
        }
    }
    for column in &plan.request {
        let reference = format!("request.{}", column.name);
        let theirs = called.feast.inputs(called.transform, &reference);
        wanted.push(Wanted {
            names: each_once(std::iter::once(&*column.name).chain(theirs)),
            what: reference,
            ty: column.ty,
            optional: column.nullable,
            target: Target::Slot(column.slot),
        });
    }
    let features = wanted.len();
    for &(_, slot) in plan.lookups.iter().flat_map(|lookup| &lookup.features) {
        let of = &plan.slots[slot];
        wanted.push(Wanted {
            what: of.name.clone(),
            names: feature_names(&of.name, called),
            ty: of.ty,
            optional: false,
            target: Target::Slot(slot),
        });
    }
    forget_ambiguous(&mut wanted, features);
    wanted
}

/// What `view.feature` or `view[role].feature` may be called: in full, by the role that Feast has as the view's other name,
/// or by its own name; and so by Feast's names, where an import knows that they are others.
fn feature_names(reference: &str, called: Names<'_>) -> Vec<String> {
    let Some((head, feature)) = reference.split_once('.') else { return Vec::new() };
    let role = head.split_once('[').and_then(|(_, role)| role.strip_suffix(']'));
    let theirs = || {
        let names = called.feast.inputs(called.transform, reference);
        names.filter_map(|name| name.split_once(':'))
    };
    let full = theirs().map(|(view, feature)| format!("{view}__{feature}"));
    let ours = std::iter::once(format!("{head}__{feature}"));
    let by_role = role.map(|role| format!("{role}__{feature}"));
    let short = theirs().map(|(_, feature)| feature).chain([feature]).map(str::to_owned);
    each_once(full.chain(ours).chain(by_role).chain(short))
}

/// Names, each once, in their order.
fn each_once<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Vec<String> {
    let mut once: Vec<String> = Vec::new();
    for name in names.into_iter().map(Into::into) {
        if !once.contains(&name) {
            once.push(name);
        }
    }
    once
}

/// Of features, which begin at this index, forgets names that another input could have, too.
fn forget_ambiguous(wanted: &mut [Wanted], features: usize) {
    let names: Vec<Vec<String>> = wanted.iter().map(|of| of.names.clone()).collect();
    for (index, of) in wanted.iter_mut().enumerate().skip(features) {
        let others = || names.iter().enumerate().filter(|(other, _)| *other != index);
        of.names.retain(|name| !others().any(|(_, names)| names.contains(name)));
    }
}

fn missing(of: &Wanted, near: Option<String>, columns: &[&str]) -> String {
    let names: Vec<_> = of.names.iter().map(|name| format!("`{name}`")).collect();
    let near = near.map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default();
    let mut listed = columns.iter().take(LISTED_MAX).copied().collect::<Vec<_>>().join(", ");
    match columns.len() {
        0 => listed.push_str("no column"),
        came if came > LISTED_MAX => listed.push_str(", ..."),
        _ => {}
    }
    format!(
        "expected a column {} ({}) for {}, came none{near}; the batch has {listed}",
        names.join(" or "),
        of.ty,
        of.what
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use skewless_catalog::ViewId;
    use skewless_catalog::plan::{KeyColumn, Lookup, RequestColumn, Slot};
    use skewless_server::repo::feast_names::FeastNames;

    use super::*;

    /// A plan of stored features by their references, and request columns that may be null or not.
    fn plan(features: &[&str], request: &[(&str, bool)]) -> Plan {
        let mut plan = Plan::default();
        plan.keys.push(KeyColumn { name: "id".to_owned(), ty: Type::Int64 });
        let slot = |plan: &mut Plan, name: &str| {
            plan.slots.push(Slot { name: name.to_owned(), ty: Type::Float64 });
            plan.slots.len() - 1
        };
        for name in features {
            let slot = slot(&mut plan, name);
            plan.lookups.push(Lookup {
                view: ViewId(0),
                view_name: String::new(),
                role: None,
                keys: vec![0],
                features: vec![(0, slot)],
            });
        }
        for (name, nullable) in request {
            let slot = slot(&mut plan, &format!("request.{name}"));
            let (name, ty, nullable) = ((*name).to_owned(), Type::Float64, *nullable);
            plan.request.push(RequestColumn { name, ty, nullable, slot });
        }
        plan
    }

    /// The index in the batch of what each of the plan's slots is, request columns first.
    fn at(plan: &Plan, columns: &[&str]) -> Result<Vec<usize>, String> {
        at_called(&FeastNames::default(), plan, columns)
    }

    /// The same, of a transform `t` that was imported.
    fn at_called(feast: &FeastNames, plan: &Plan, columns: &[&str]) -> Result<Vec<usize>, String> {
        find(plan, Names { feast, transform: "t" }, columns)
            .map(|found| found.iter().map(|found| found.at).collect())
    }

    #[test]
    fn a_feature_is_found_by_its_name_or_in_full_and_in_full_first() {
        let plan = plan(&["orders.spent"], &[("amount", false)]);
        assert_eq!(at(&plan, &["id", "spent", "amount"]), Ok(vec![2, 1]));
        assert_eq!(at(&plan, &["orders__spent", "amount", "more", "more"]), Ok(vec![1, 0]));
        assert_eq!(at(&plan, &["spent", "amount", "orders__spent"]), Ok(vec![1, 2]));
    }

    #[test]
    fn a_feature_under_a_role_is_found_by_the_role_too() {
        let plan = plan(&["weather[origin].wind"], &[]);
        for name in ["weather[origin]__wind", "origin__wind", "wind"] {
            assert_eq!(at(&plan, &["other", name]), Ok(vec![1]), "{name}");
        }
    }

    #[test]
    fn what_was_imported_is_found_by_feasts_names_too() {
        let names = FeastNames::of(
            br#"{"transforms": {"t": {"name": "T", "features": {}, "inputs": {
                "stats[a].conv": ["Origin-1:convRate"], "request.valtoadd": ["valToAdd"]}}}}"#,
        )
        .unwrap();
        let plan = plan(&["stats[a].conv"], &[("valtoadd", false)]);
        for feature in ["Origin-1__convRate", "convRate", "stats[a]__conv", "a__conv", "conv"] {
            assert_eq!(
                at_called(&names, &plan, &["other", feature, "valToAdd"]),
                Ok(vec![2, 1]),
                "{feature}"
            );
        }
        assert!(at(&plan, &["conv", "valToAdd"]).unwrap_err().contains("`valtoadd`"));
    }

    #[test]
    fn a_name_that_could_be_two_inputs_is_neither() {
        let both = plan(&["a.x", "b.x"], &[]);
        assert_eq!(at(&both, &["b__x", "a__x"]), Ok(vec![1, 0]));
        let refused = at(&both, &["x", "b__x"]).unwrap_err();
        assert!(refused.starts_with("expected a column `a__x` (float64) for a.x"), "{refused}");
        // A request column has no other name, so the feature has to be named in full.
        let shared = plan(&["a.x"], &[("x", false)]);
        assert_eq!(at(&shared, &["x", "a__x"]), Ok(vec![0, 1]));
        assert!(at(&shared, &["x"]).unwrap_err().contains("`a__x`"));
    }

    #[test]
    fn what_is_missing_is_named_with_what_was_probably_meant() {
        let plan = plan(&["orders.spent"], &[("amount", false)]);
        let refused = at(&plan, &["spent", "amonut", "id"]).unwrap_err();
        assert_eq!(
            refused,
            "expected a column `amount` (float64) for request.amount, came none (did you mean `amonut`?); the batch has \
             spent, amonut, id"
        );
        let refused = at(&plan, &["amount", "spnt"]).unwrap_err();
        assert!(
            refused.contains("`orders__spent` or `spent` (float64) for orders.spent"),
            "{refused}"
        );
        assert!(refused.contains("did you mean `spnt`"), "{refused}");
        assert!(at(&plan, &[]).unwrap_err().ends_with("has no column"));
        let twice = at(&plan, &["amount", "spent", "amount"]).unwrap_err();
        assert_eq!(twice, "expected one column `amount`, came several");
    }

    #[test]
    fn a_column_that_may_be_null_is_left_out_but_not_misspelt() {
        let plan = plan(&[], &[("discount", true)]);
        assert_eq!(at(&plan, &["amount"]), Ok(vec![]));
        let refused = at(&plan, &["discuont"]).unwrap_err();
        assert!(refused.contains("did you mean `discuont`"), "{refused}");
    }

    #[test]
    fn a_join_key_is_wanted_only_if_it_is_an_input() {
        let mut plan = plan(&["a.x"], &[]);
        assert_eq!(at(&plan, &["x"]), Ok(vec![0]));
        plan.slots.push(Slot { name: "entity.id".to_owned(), ty: Type::Int64 });
        plan.key_slots.push((0, 1));
        assert_eq!(at(&plan, &["x", "id"]), Ok(vec![1, 0]));
        assert!(at(&plan, &["x"]).unwrap_err().contains("for entity.id"));
    }
}
