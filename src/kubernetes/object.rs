//! Objects as JSON, under server-side apply: paydeploy owns the fields that it sets, and no others.

use std::fmt::Debug;

use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::classify;
use crate::task::{Class, ErrorExt, Result};

/// The field manager of all objects that are not part of a Helm release.
pub const MANAGER: &str = "paydeploy";

/// A kind by its group, version and name. The plural is derived from the name.
pub fn kind(group: &str, version: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// An object's kind and name, as in `deployment/argocd-server`.
pub fn title(object: &Value) -> String {
    let kind = object["kind"].as_str().unwrap_or("object").to_lowercase();
    format!("{kind}/{}", object["metadata"]["name"].as_str().unwrap_or("?"))
}

/// The objects of a YAML file.
pub fn documents(yaml: &str) -> Result<Vec<Value>> {
    use serde::Deserialize;
    let mut objects = Vec::new();
    for document in serde_norway::Deserializer::from_str(yaml) {
        let object = Value::deserialize(document)?;
        if !object.is_null() {
            objects.push(object);
        }
    }
    Ok(objects)
}

struct Target {
    api: Api<DynamicObject>,
    name: String,
}

fn target(client: &Client, object: &Value) -> Target {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let api_version = text(&object["apiVersion"]);
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let resource = kind(group, version, &text(&object["kind"]));
    let api = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    Target { api, name: text(&object["metadata"]["name"]) }
}

async fn patch(client: &Client, manager: &str, object: &Value, dry_run: bool) -> Result<DynamicObject> {
    let Target { api, name } = target(client, object);
    // Force takes over fields that another manager set, because the configuration decides their value.
    let params = PatchParams { dry_run, ..PatchParams::apply(manager).force() };
    api.patch(&name, &params, &Patch::Apply(object)).await.map_err(classify)
}

/// Creates the object, or sets the given fields.
pub async fn apply(client: &Client, manager: &str, object: &Value) -> Result<DynamicObject> {
    patch(client, manager, object, false).await.doing(format!("apply `{}`", title(object)))
}

/// The object as it would be after [`apply`], admission included; changes nothing.
pub async fn dry_run(client: &Client, manager: &str, object: &Value) -> Result<DynamicObject> {
    patch(client, manager, object, true).await.doing(format!("apply `{}` as a dry run", title(object)))
}

/// How a live object is compared with the wanted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// By reading it: for `status`, which must work for a principal that may only read.
    Reading,
    /// By a dry run of [`apply`], which includes defaults and admission, but needs the right to change the object.
    DryRun,
}

/// What [`apply`] would change, in one line; `None` if nothing.
pub async fn difference(client: &Client, manager: &str, object: &Value, by: By) -> Result<Option<String>> {
    let Target { api, name } = target(client, object);
    let doing = || format!("read `{}`", title(object));
    let Some(live) = api.get_opt(&name).await.map_err(classify).doing(doing())? else {
        return Ok(Some(format!("{} is missing", title(object))));
    };
    let live = serde_json::to_value(live)?;
    let fields = match by {
        By::Reading => unapplied(&live, manager, object),
        By::DryRun => {
            let wanted = dry_run(client, manager, object).await?;
            differing(&live, &serde_json::to_value(wanted)?)
        }
    };
    Ok((!fields.is_empty()).then(|| format!("{}: {} differ", title(object), fields.join(", "))))
}

/// The fields, down to the second level, that an apply would set or remove.
///
/// Fields that are not in `wanted` belong to others, except those that an earlier apply set: the API server lists them
/// in `managedFields`.
fn unapplied(live: &Value, manager: &str, wanted: &Value) -> Vec<String> {
    let entries = live["metadata"]["managedFields"].as_array().into_iter().flatten();
    let (ours, others): (Vec<&Value>, Vec<&Value>) = entries.partition(|entry| {
        entry["manager"] == manager && entry["operation"] == "Apply" && entry["subresource"].is_null()
    });
    let ours = ours.first().map_or(&Value::Null, |entry| &entry["fieldsV1"]);
    let others: Vec<&Value> = others.into_iter().map(|entry| &entry["fieldsV1"]).collect();
    let owned = &owned_alone(ours, &others);
    let empty = serde_json::Map::new();
    let mut names = Vec::new();
    let top = wanted.as_object().unwrap_or(&empty).keys().map(String::as_str).chain(owned_keys(owned));
    for name in sorted(top) {
        let (live, wanted, owned) = (&live[name], &wanted[name], &owned[format!("f:{name}")]);
        let Some(fields) = wanted.as_object() else {
            if !covers(live, wanted) || is_removed(live, wanted, owned) {
                names.push(name.to_owned());
            }
            continue;
        };
        for key in sorted(fields.keys().map(String::as_str).chain(owned_keys(owned))) {
            let (live, wanted, owned) = (&live[key], &wanted[key], &owned[format!("f:{key}")]);
            // A set that others add to: an operator may hold the object with a finalizer of its own.
            let is_covered = if key == "finalizers" { has_all(live, wanted) } else { covers(live, wanted) };
            if !is_covered || is_removed(live, wanted, owned) {
                names.push(format!("{name}.{key}"));
            }
        }
    }
    names
}

fn sorted<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What is in `ours` and in none of the `others`, all in the format of `fieldsV1`. An apply that leaves out a field which
/// another manager also owns gives up its share, and the field stays.
fn owned_alone(ours: &Value, others: &[&Value]) -> Value {
    let fields = ours.as_object().into_iter().flatten().filter_map(|(key, ours)| {
        let others: Vec<&Value> = others.iter().filter_map(|other| other.get(key)).collect();
        if others.is_empty() {
            return Some((key.clone(), ours.clone()));
        }
        let alone = owned_alone(ours, &others);
        (!alone.is_null()).then(|| (key.clone(), alone))
    });
    let fields: serde_json::Map<String, Value> = fields.collect();
    if fields.is_empty() { Value::Null } else { fields.into() }
}

/// The names of the fields in a level of `fieldsV1`. Other entries stand for items of lists.
fn owned_keys(owned: &Value) -> impl Iterator<Item = &str> {
    owned.as_object().into_iter().flat_map(serde_json::Map::keys).filter_map(|key| key.strip_prefix("f:"))
}

/// Whether everything wanted is in the live state. The API server leaves out what is empty.
fn covers(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            wanted.iter().all(|(key, wanted)| covers(live.get(key).unwrap_or(&Value::Null), wanted))
        }
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| covers(live, wanted))
        }
        (Value::Null, Value::Object(wanted)) => wanted.values().all(|wanted| covers(&Value::Null, wanted)),
        (Value::Null, Value::Array(wanted)) => wanted.is_empty(),
        (live, wanted) => live == wanted,
    }
}

fn has_all(live: &Value, wanted: &Value) -> bool {
    let live = live.as_array().map(Vec::as_slice).unwrap_or_default();
    wanted.as_array().into_iter().flatten().all(|wanted| live.contains(wanted))
}

/// Whether the live state has a field that an earlier apply set and this one would not.
fn is_removed(live: &Value, wanted: &Value, owned: &Value) -> bool {
    if !live.is_null() && wanted.is_null() && !owned.is_null() {
        return true;
    }
    owned_keys(owned).any(|key| is_removed(&live[key], &wanted[key], &owned[format!("f:{key}")]))
}

/// The fields, down to the second level, in which two states of an object differ, without those that the API
/// server counts.
fn differing(live: &Value, wanted: &Value) -> Vec<String> {
    const BOOKKEEPING: [&str; 3] = ["managedFields", "resourceVersion", "generation"];
    let empty = serde_json::Map::new();
    let fields = |value: &Value| value.as_object().unwrap_or(&empty).clone();
    let (live, wanted) = (fields(live), fields(wanted));
    let mut names = Vec::new();
    for (name, wanted) in &wanted {
        let had = live.get(name).unwrap_or(&Value::Null);
        match (had, wanted) {
            (Value::Object(had), Value::Object(wants)) => {
                let mut keys: Vec<_> = had.keys().chain(wants.keys()).collect();
                keys.sort();
                keys.dedup();
                let differs = |key: &&&String| {
                    !BOOKKEEPING.contains(&key.as_str()) && had.get(**key) != wants.get(**key)
                };
                names.extend(keys.iter().filter(differs).map(|key| format!("{name}.{key}")));
            }
            (had, wants) if had != wants => names.push(name.clone()),
            _ => {}
        }
    }
    names
}

/// Deletes an object; returns whether it existed.
pub async fn delete<K>(api: &Api<K>, name: &str) -> Result<bool>
where
    K: Clone + DeserializeOwned + Debug,
{
    match api.delete(name, &DeleteParams::default()).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(classify(error)).doing(format!("delete `{name}`")),
    }
    .map_err(|error: crate::task::Error| match error.class {
        // The object changed between our request and its execution: the retry reads it again.
        Class::Conflict => crate::task::Error { class: Class::Transient, ..error },
        _ => error,
    })
}

/// Removes an object's finalizers, so that its deletion ends whatever they wait for.
pub async fn strip_finalizers<K>(api: &Api<K>, name: &str) -> Result<()>
where
    K: Clone + DeserializeOwned + Debug,
{
    let patch = Patch::Merge(serde_json::json!({ "metadata": { "finalizers": null } }));
    match api.patch(name, &PatchParams::default(), &patch).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(classify(error)).doing(format!("remove the finalizers of `{name}`")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_that_the_api_server_counts_are_ignored() {
        let live = json!({ "metadata": { "resourceVersion": "1", "generation": 1, "labels": { "a": "b" } } });
        let wanted =
            json!({ "metadata": { "resourceVersion": "2", "managedFields": [], "labels": { "a": "b" } } });
        assert_eq!(differing(&live, &wanted), Vec::<String>::new());
    }

    #[test]
    fn differences_are_reported_by_field() {
        let live = json!({ "metadata": { "labels": { "a": "b" } }, "rules": [1], "data": { "x": "1" } });
        let wanted =
            json!({ "metadata": { "labels": { "a": "c" } }, "rules": [2], "data": { "x": "1", "y": "2" } });
        assert_eq!(differing(&live, &wanted), ["data.y", "metadata.labels", "rules"]);
    }

    fn live() -> Value {
        json!({
            "apiVersion": "v1", "kind": "Thing",
            "metadata": {
                "name": "x", "uid": "1", "labels": { "a": "b", "theirs": "1" }, "finalizers": ["ours", "theirs"],
                "managedFields": [
                    { "manager": "paydeploy", "operation": "Apply", "fieldsV1": {
                        "f:metadata": { "f:labels": { "f:a": {} } },
                        "f:spec": { "f:rules": {}, "f:depth": { "f:old": {} } },
                    } },
                    { "manager": "other", "operation": "Update", "fieldsV1": { "f:spec": { "f:size": {} } } },
                ],
            },
            "spec": { "rules": [{ "verb": "get", "default": true }], "size": 1, "depth": { "old": 1 } },
        })
    }

    fn wanted() -> Value {
        json!({
            "apiVersion": "v1", "kind": "Thing",
            "metadata": { "name": "x", "labels": { "a": "b" }, "annotations": {}, "finalizers": ["ours"] },
            "spec": { "rules": [{ "verb": "get" }], "depth": { "old": 1 } },
        })
    }

    #[test]
    fn an_object_is_as_applied_whatever_others_and_defaults_have_added() {
        assert_eq!(unapplied(&live(), "paydeploy", &wanted()), Vec::<String>::new());
    }

    #[test]
    fn what_an_apply_would_set_add_or_remove_is_found_by_reading() {
        let mut changed = wanted();
        changed["metadata"]["labels"]["a"] = json!("c");
        changed["spec"]["rules"] = json!([{ "verb": "get" }, { "verb": "list" }]);
        changed["spec"]["depth"] = json!({});
        changed["data"] = json!({ "new": 1 });
        assert_eq!(
            unapplied(&live(), "paydeploy", &changed),
            ["data.new", "metadata.labels", "spec.depth", "spec.rules"]
        );
        let without_spec = json!({ "apiVersion": "v1", "kind": "Thing", "metadata": wanted()["metadata"] });
        assert_eq!(unapplied(&live(), "paydeploy", &without_spec), ["spec"]);
        assert_eq!(unapplied(&live(), "another", &without_spec), Vec::<String>::new());
    }

    #[test]
    fn a_field_that_another_manager_also_owns_is_not_removed_by_leaving_it_out() {
        let mut live = live();
        live["metadata"]["managedFields"][1]["fieldsV1"] =
            json!({ "f:spec": { "f:depth": { "f:old": {} } } });
        let mut changed = wanted();
        changed["spec"]["depth"] = json!({});
        assert_eq!(unapplied(&live, "paydeploy", &changed), Vec::<String>::new());
        changed["spec"] = json!({});
        assert_eq!(unapplied(&live, "paydeploy", &changed), ["spec.rules"]);
    }

    #[test]
    fn a_file_may_contain_several_objects_and_empty_documents() {
        let objects = documents("# nothing\n---\nkind: A\nmetadata: {name: x}\n---\n---\nkind: B\n").unwrap();
        assert_eq!(objects.iter().map(title).collect::<Vec<_>>(), ["a/x", "b/?"]);
    }
}
