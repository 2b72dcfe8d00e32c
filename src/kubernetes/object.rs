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

/// What [`apply`] would change, in one line; `None` if nothing.
pub async fn difference(client: &Client, manager: &str, object: &Value) -> Result<Option<String>> {
    let Target { api, name } = target(client, object);
    let doing = || format!("read `{}`", title(object));
    let Some(live) = api.get_opt(&name).await.map_err(classify).doing(doing())? else {
        return Ok(Some(format!("{} is missing", title(object))));
    };
    let wanted = dry_run(client, manager, object).await?;
    let (live, wanted) = (serde_json::to_value(live)?, serde_json::to_value(wanted)?);
    let fields = differing(&live, &wanted);
    Ok((!fields.is_empty()).then(|| format!("{}: {} differ", title(object), fields.join(", "))))
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

    #[test]
    fn a_file_may_contain_several_objects_and_empty_documents() {
        let objects = documents("# nothing\n---\nkind: A\nmetadata: {name: x}\n---\n---\nkind: B\n").unwrap();
        assert_eq!(objects.iter().map(title).collect::<Vec<_>>(), ["a/x", "b/?"]);
    }
}
