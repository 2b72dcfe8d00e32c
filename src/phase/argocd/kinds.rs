//! The kinds that Argo CD manages: those that the application's AppProject admits.
//!
//! 1. A Role in the application's namespace grants Argo CD these kinds, and lets it read the pods they create.
//! 2. Argo CD lists and watches every kind of a cluster unless its settings name some. It gives up on a cluster in which
//!    it may not list one of them, so its settings name exactly the kinds of the Role.
//!
//! Secrets are in neither, unless the project admits them: what External Secrets delivers is not Argo CD's to read.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};

use crate::{
    kubernetes,
    step::{Error, ErrorExt, Result},
};

/// What the managed kinds create, and what Argo CD shows of it.
const SHOWN: [(&str, &str); 2] = [("", "Pod"), ("apps", "ReplicaSet")];

const ALL: &str = "*";

/// Kinds by API group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kinds(BTreeMap<String, Vec<String>>);

impl Kinds {
    /// Reads the AppProject among the manifests in a folder.
    pub fn read(manifests: &Path) -> Result<Self> {
        let doing = || format!("read the AppProject in `{}`", manifests.display());
        let mut files: Vec<_> =
            fs::read_dir(manifests).and_then(Iterator::collect::<Result<_, _>>).doing(doing())?;
        files.sort_by_key(fs::DirEntry::file_name);
        let files = files.into_iter().map(|entry| entry.path());
        for file in files.filter(|file| file.extension().is_some_and(|end| end == "yaml" || end == "yml")) {
            let text = fs::read_to_string(&file).doing(doing())?;
            let objects = kubernetes::documents(&text).doing(doing())?;
            if let Some(project) = objects.iter().find(|object| object["kind"] == "AppProject") {
                return Ok(Self::of(project));
            }
        }
        Err(Error::permanent("no AppProject found"))
            .doing(doing())
            .hint("set `gitops.manifests` in paydeploy.toml to the folder that holds the AppProject")
    }

    /// As in Argo CD, a project without a list admits every kind, and one with an empty list admits none.
    fn of(project: &Value) -> Self {
        let Some(listed) = project["spec"]["namespaceResourceWhitelist"].as_array() else {
            return Self(BTreeMap::from([(ALL.to_owned(), vec![ALL.to_owned()])]));
        };
        let mut kinds: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for one in listed {
            let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
            kinds.entry(text("group")).or_default().push(text("kind"));
        }
        Self(kinds)
    }

    /// The rules of the Role.
    pub fn rules(&self) -> Value {
        let managed = self.0.iter().map(|(group, kinds)| {
            let resources: Vec<String> = kinds.iter().map(|kind| resource(group, kind)).collect();
            let verbs = ["get", "list", "watch", "create", "update", "patch", "delete"];
            json!({ "apiGroups": [group], "resources": resources, "verbs": verbs })
        });
        let shown = SHOWN.map(|(group, kind)| {
            json!({ "apiGroups": [group], "resources": [resource(group, kind)], "verbs": ["get", "list", "watch"] })
        });
        let read =
            json!({ "apiGroups": [""], "resources": ["events", "pods/log"], "verbs": ["get", "list"] });
        managed.chain(shown).chain([read]).collect()
    }

    /// The setting `resource.inclusions`; `None` where every kind is admitted.
    pub fn inclusions(&self) -> Result<Option<String>> {
        if self.0.iter().any(|(group, kinds)| group == ALL || kinds.iter().any(|kind| kind == ALL)) {
            return Ok(None);
        }
        let mut all = self.0.clone();
        for (group, kind) in SHOWN {
            let kinds = all.entry(group.to_owned()).or_default();
            if !kinds.iter().any(|one| one == kind) {
                kinds.push(kind.to_owned());
            }
        }
        let all: Vec<Value> =
            all.iter().map(|(group, kinds)| json!({ "apiGroups": [group], "kinds": kinds })).collect();
        Ok(Some(serde_norway::to_string(&all)?))
    }
}

/// A kind's resource in a rule, such as `networkpolicies`.
fn resource(group: &str, kind: &str) -> String {
    if kind == ALL { ALL.to_owned() } else { kubernetes::kind(group, "v1", kind).plural }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_this_repository() -> Kinds {
        Kinds::read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/gitops/argocd"))).unwrap()
    }

    fn resources(verb: &str) -> Vec<String> {
        let rules = of_this_repository().rules();
        let rules = rules
            .as_array()
            .unwrap()
            .iter()
            .filter(|rule| rule["verbs"].as_array().unwrap().iter().any(|one| one == verb));
        rules
            .flat_map(|rule| rule["resources"].as_array().unwrap())
            .map(|resource| resource.as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn argo_cd_writes_the_kinds_of_the_chart_and_no_secrets() {
        let written = resources("patch");
        for kind in ["configmaps", "deployments", "externalsecrets", "ingresses", "networkpolicies", "jobs"] {
            assert!(written.iter().any(|one| one == kind), "{kind} is not in {written:?}");
        }
        for kind in ["secrets", "pods", "roles", "*"] {
            assert!(!written.iter().any(|one| one == kind), "{kind} is in {written:?}");
        }
        assert!(!resources("get").iter().any(|one| one == "secrets"));
    }

    #[test]
    fn argo_cd_lists_exactly_the_kinds_that_it_may_list() {
        let inclusions = of_this_repository().inclusions().unwrap().unwrap();
        let inclusions = kubernetes::documents(&inclusions).unwrap().remove(0);
        let mut included: Vec<String> = inclusions
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|one| one["kinds"].as_array().unwrap())
            .map(|kind| resource("", kind.as_str().unwrap()))
            .collect();
        let mut watched = resources("watch");
        included.sort();
        watched.sort();
        assert_eq!(included, watched);
    }

    #[test]
    fn a_project_that_admits_every_kind_restricts_nothing() {
        let kinds = Kinds::of(&json!({ "spec": {} }));
        assert_eq!(kinds.inclusions().unwrap(), None);
        assert_eq!(kinds.rules()[0]["apiGroups"], json!(["*"]));
        assert_eq!(kinds.rules()[0]["resources"], json!(["*"]));
    }

    #[test]
    fn a_project_with_an_empty_list_admits_nothing() {
        let kinds = Kinds::of(&json!({ "spec": { "namespaceResourceWhitelist": [] } }));
        let rules = kinds.rules();
        let verbs = rules.as_array().unwrap().iter().flat_map(|rule| rule["verbs"].as_array().unwrap());
        assert!(!verbs.clone().any(|verb| verb == "create"), "{rules}");
        assert!(kinds.inclusions().unwrap().is_some(), "a missing setting would mean every kind");
    }
}
