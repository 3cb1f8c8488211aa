//! Feast's entities as ours. Feast's has one join key and a view names several; ours has several keys and a view names one,
//! so every combination of entities, types and columns becomes an entity of its own, shared by the views that have it.

use std::collections::BTreeMap;

use skewless_batch::Type;
use skewless_catalog::key::KEY_COLUMNS_MAX;
use skewless_proto::feast::core::FeatureSpecV2;

use super::super::definitions::{Entity, Key, Role};
use super::super::identifier::Given;
use super::views::Stored;
use super::{EVENT_TIMESTAMP, Translator, by_name, doc};
use crate::feast::value_type::carried_key;

/// What makes the entity of two views the same: Feast's entities, and of each key its column and type.
pub(super) type Group = (Vec<String>, Vec<(String, String)>);

/// The entity of views without any, and its join key; its one row has the empty text as key.
const DUMMY: &str = "__dummy";
pub(super) const DUMMY_KEY: &str = "__dummy_id";

impl Translator<'_> {
    /// Feast's join keys of a view, with types; or why they can't be keys here.
    pub(super) fn join_keys(&self, view: &Stored<'_>) -> Result<Vec<(String, Type)>, String> {
        let columns = by_name(view.entity_columns);
        let mut keys = Vec::new();
        for entity in view.entities {
            if entity == DUMMY {
                keys.push((DUMMY_KEY.to_owned(), Type::Utf8));
                continue;
            }
            let spec = self.entities.get(entity.as_str());
            let spec =
                spec.ok_or_else(|| format!("its entity `{entity}` is not in the registry"))?;
            let key = if spec.join_key.is_empty() { entity } else { &spec.join_key };
            // The view's columns say what the data has, the entity what was once declared.
            let declared =
                FeatureSpecV2 { value_type: spec.value_type, ..FeatureSpecV2::default() };
            let column = columns.get(key.as_str()).copied().unwrap_or(&declared);
            let ty = carried_key(column).map_err(|name| match name.as_str() {
                "INVALID" => format!(
                    "its join key `{key}` has no type in the registry; declare it in the view's schema, or as the \
                     entity's `value_type`, and apply again"
                ),
                name => format!("its join key `{key}` is of type {name}, which can be no key here"),
            })?;
            keys.push((key.clone(), ty));
        }
        if keys.is_empty() {
            keys.push((DUMMY_KEY.to_owned(), Type::Utf8));
        }
        if keys.len() > KEY_COLUMNS_MAX {
            let came = keys.len();
            return Err(format!(
                "expected at most {KEY_COLUMNS_MAX} join keys (KEY_COLUMNS_MAX), came {came}"
            ));
        }
        Ok(keys)
    }

    /// The entity with these keys, whose columns are called so; its index.
    pub(super) fn entity(
        &mut self,
        view: &Stored<'_>,
        keys: &[(String, Type)],
        columns: Option<&[String]>,
    ) -> usize {
        let known = keys.iter().map(|(key, _)| key.as_str());
        let mut given = Given::without([EVENT_TIMESTAMP]).keeping(known);
        let names: Vec<String> = match columns {
            Some(columns) => columns.to_vec(),
            None => keys.iter().map(|(key, _)| given.give(key)).collect(),
        };
        let types = keys.iter().map(|(_, ty)| ty.to_string());
        let entities: Vec<String> = match view.entities {
            [] => vec![DUMMY.to_owned()],
            entities => entities.to_vec(),
        };
        let group: Group = (entities, names.iter().cloned().zip(types).collect());
        if let Some(known) = self.groups.get(&group) {
            return *known;
        }
        let shown = group.0.join("` and `");
        let wanted = match group.0.as_slice() {
            [dummy] if dummy == DUMMY => "dummy".to_owned(),
            entities => entities.join("__"),
        };
        let taken = self.groups.keys().any(|(entities, _)| *entities == group.0);
        let name = match (taken, group.0.as_slice()) {
            (true, _) => self.entity_names.make(&format!("{wanted}__{}", view.name)),
            (false, [entity]) if entity != DUMMY => self.entity_names.give(entity),
            (false, _) => self.entity_names.make(&wanted),
        };
        if taken {
            let how = format!(
                "its keys have other columns or types than in other views, so it is `{name}` there"
            );
            self.different(format!("entity `{shown}` of view `{}`", view.name), how);
        } else if group.0.len() == 1 && group.0[0] != DUMMY {
            self.renamed("entity", &group.0[0], &name);
        } else if group.0[0] == DUMMY {
            self.different(
                format!("view `{}`", view.name),
                "it has no entity in Feast; here it is of `dummy`, and callers give `dummy_id` as the empty text",
            );
        }
        let mut own = Vec::new();
        for ((key, ty), column) in keys.iter().zip(names) {
            let join_key = self.join_key(key, *ty);
            own.push(Key { feast: key.clone(), column, join_key, ty: *ty });
        }
        let docs = group.0.iter().filter_map(|entity| self.entities.get(entity.as_str()));
        let docs: Vec<String> = docs.map(|spec| doc(&spec.description)).collect();
        let docs: Vec<&str> =
            docs.iter().map(String::as_str).filter(|doc| !doc.is_empty()).collect();
        let entity = Entity { name, doc: docs.join(" "), keys: own, roles: Vec::new() };
        self.out.entities.push(entity);
        self.groups.insert(group, self.out.entities.len() - 1);
        self.out.entities.len() - 1
    }

    /// Our name for a join key of Feast's. One name has one type here.
    pub(super) fn join_key(&mut self, feast: &str, ty: Type) -> String {
        let known = (feast.to_owned(), ty.to_string());
        if let Some(name) = self.asked.join_keys.get(&known) {
            return name.clone();
        }
        let other_type = self.asked.join_keys.keys().any(|(key, _)| key == feast);
        let name = match other_type {
            true => self.asked.given.make(&format!("{feast}_{}", known.1)),
            false => self.asked.given.give(feast),
        };
        if other_type {
            let how = format!("it has two types in Feast; of {} it is `{name}`", known.1);
            self.different(format!("join key `{feast}`"), how);
        } else if feast != DUMMY_KEY {
            self.renamed("join key", feast, &name);
        }
        self.asked.join_keys.insert(known, name.clone());
        name
    }

    /// The role in which an entity is asked by other join keys; `None`: it is asked by its own.
    pub(super) fn role<'m>(
        &mut self,
        entity: usize,
        alias: &str,
        map: impl IntoIterator<Item = (&'m String, &'m String)>,
    ) -> Result<Option<String>, String> {
        let map: BTreeMap<&str, &str> =
            map.into_iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
        let keys = self.out.entities[entity].keys.clone();
        let asked: Vec<(&str, Type)> = keys
            .iter()
            .map(|key| (map.get(key.feast.as_str()).copied().unwrap_or(&key.feast), key.ty))
            .collect();
        if let Some(twice) =
            (1..asked.len()).find(|&at| asked[..at].iter().any(|(key, _)| *key == asked[at].0))
        {
            return Err(format!("two of its join keys are mapped to `{}`", asked[twice].0));
        }
        let join_keys: Vec<String> =
            asked.iter().map(|(key, ty)| self.join_key(key, *ty)).collect();
        if keys.iter().map(|key| &key.join_key).eq(&join_keys) {
            return Ok(None);
        }
        let roles = &mut self.out.entities[entity].roles;
        if let Some(known) = roles.iter().find(|role| role.join_keys == join_keys) {
            return Ok(Some(known.name.clone()));
        }
        let given = Given::without(roles.iter().map(|role| role.name.as_str()));
        let mut given = given.keeping(self.roles.iter().copied());
        let name = match alias {
            "" => given.make(&join_keys.join("__")),
            alias => given.give(alias),
        };
        roles.push(Role { name: name.clone(), join_keys });
        Ok(Some(name))
    }

    /// Feast's names of everything that callers give, and of the join keys in every role of a view.
    pub(super) fn asked_names(&mut self) {
        let swapped = |of: &BTreeMap<(String, String), String>| -> BTreeMap<String, String> {
            of.iter().map(|((feast, _), ours)| (ours.clone(), feast.clone())).collect()
        };
        self.names.join_keys = swapped(&self.asked.join_keys);
        self.names.requests = swapped(&self.asked.requests);
        let Self { names, out, .. } = self;
        for view in &out.views {
            let entity = out.entities.iter().find(|entity| entity.name == view.entity);
            let (Some(entity), Some(of)) = (entity, names.views.get_mut(&view.name)) else {
                continue;
            };
            for role in &entity.roles {
                let asked = role.join_keys.iter().filter_map(|key| names.join_keys.get(key));
                let own = entity.keys.iter().map(|key| key.feast.clone());
                of.roles.insert(role.name.clone(), own.zip(asked.cloned()).collect());
            }
        }
    }

    /// Feast's entities that no view of ours is about.
    pub(super) fn unused_entities(&mut self) {
        let used: Vec<&String> = self.groups.keys().flat_map(|(entities, _)| entities).collect();
        let unused = self.entities.keys().filter(|name| **name != DUMMY);
        let unused: Vec<String> = unused
            .filter(|name| !used.iter().any(|used| used.as_str() == **name))
            .map(|name| (*name).to_owned())
            .collect();
        for name in unused {
            self.left_out(format!("entity `{name}`"), "no view that was carried over is about it");
        }
    }
}
