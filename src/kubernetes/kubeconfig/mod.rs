//! Kubeconfig files that hold our contexts beside the user's own.
//!
//! Invariants: entries that paydeploy did not write are never changed, and a context is only overwritten when
//! its user gets its credentials from `paydeploy token`.

mod context;
mod file;

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use serde_norway::{Mapping, Value};

use self::context::parts;
pub use self::{
    context::program,
    file::{change, write_private},
};
use crate::{
    fact,
    task::{Error, ErrorExt, Result},
};

/// The lists of a kubeconfig and the key of what each of their entries holds.
const LISTS: [(&str, &str); 3] = [("clusters", "cluster"), ("users", "user"), ("contexts", "context")];

/// A parsed kubeconfig. Everything except our contexts is kept; only comments are lost, because YAML
/// libraries drop them.
#[derive(Debug, Clone, PartialEq)]
pub struct Kubeconfig(Mapping);

impl Default for Kubeconfig {
    fn default() -> Self {
        let mut file = Mapping::new();
        file.insert("apiVersion".into(), "v1".into());
        file.insert("kind".into(), "Config".into());
        for (list, _) in LISTS {
            file.insert(list.into(), Value::Sequence(Vec::new()));
        }
        Self(file)
    }
}

impl Kubeconfig {
    /// # Errors
    /// When it is not a YAML mapping.
    pub fn parse(text: &str) -> Result<Self> {
        match serde_norway::from_str(text)? {
            Value::Mapping(file) => Ok(Self(file)),
            Value::Null => Ok(Self::default()),
            _ => Err(Error::permanent("not a kubeconfig: expected a mapping at the top level")),
        }
    }

    /// Reads a file; empty if it does not exist.
    pub fn load(path: &Path) -> Result<Self> {
        let doing = || format!("read the kubeconfig `{}`", path.display());
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).doing(doing()).hint("correct the file or delete it"),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).doing(doing()),
        }
    }

    pub fn render(&self) -> String {
        serde_norway::to_string(&self.0).expect("parsed YAML can be serialized")
    }

    /// A list by its key. kubectl writes an empty one as `null`.
    fn list(&mut self, list: &str) -> &mut Vec<Value> {
        let value = self.0.entry(list.into()).or_insert_with(|| Value::Sequence(Vec::new()));
        if !value.is_sequence() {
            *value = Value::Sequence(Vec::new());
        }
        value.as_sequence_mut().expect("it was just set to a sequence")
    }

    fn entry(&self, list: &str, name: &str) -> Option<&Value> {
        self.0.get(list)?.as_sequence()?.iter().find(|entry| named(entry, name))
    }

    fn put(&mut self, list: &str, name: &str, entry: Value) {
        let entries = self.list(list);
        match entries.iter_mut().find(|entry| named(entry, name)) {
            Some(existing) => *existing = entry,
            None => entries.push(entry),
        }
    }

    /// Adds or updates a region's context, user and cluster.
    pub fn set(&mut self, name: &str, access: &fact::Access, namespace: &str, program: &Path) {
        for ((list, key), value) in LISTS.into_iter().zip(parts(name, access, namespace, program)) {
            let mut entry = Mapping::new();
            entry.insert("name".into(), name.into());
            entry.insert(key.into(), value);
            self.put(list, name, Value::Mapping(entry));
        }
        if !self.0.contains_key("current-context") {
            self.0.insert("current-context".into(), name.into());
        }
    }

    /// Whether a region's entries are up to date. Their plugin may be another copy of this program as long as
    /// that exists, so that two copies do not overwrite each other's contexts in turn.
    pub fn has(&self, name: &str, access: &fact::Access, namespace: &str, program: &Path) -> bool {
        let existing = self.program(name).filter(|existing| existing.exists()).unwrap_or(program);
        let parts = parts(name, access, namespace, existing);
        LISTS
            .into_iter()
            .zip(parts)
            .all(|((list, key), part)| self.entry(list, name).and_then(|entry| entry.get(key)) == Some(&part))
    }

    fn program(&self, name: &str) -> Option<&Path> {
        let exec = self.entry("users", name)?.get("user")?.get("exec")?;
        exec.get("command")?.as_str().map(Path::new)
    }

    /// Removes a region's entries; returns whether there were any.
    pub fn remove(&mut self, name: &str) -> bool {
        let mut found = false;
        for (list, _) in LISTS {
            let entries = self.list(list);
            let before = entries.len();
            entries.retain(|entry| !named(entry, name));
            found |= entries.len() < before;
        }
        // A current context that does not exist would make every kubectl command fail.
        if self.0.get("current-context").and_then(Value::as_str) == Some(name) {
            self.0.remove("current-context");
            let first = self.names().into_iter().next();
            if let Some(first) = first {
                self.0.insert("current-context".into(), first.into());
            }
        }
        found
    }

    /// Merges the contexts of our own kubeconfig into this one. Everything else is kept, the current context
    /// included.
    ///
    /// # Errors
    /// When a context of the same name was not written by paydeploy.
    pub fn merge(&mut self, ours: &str) -> Result<()> {
        let ours = Self::parse(ours).doing("read our own kubeconfig")?;
        for name in ours.names() {
            for (list, _) in LISTS {
                let Some(entry) = ours.entry(list, &name) else { continue };
                if self.entry(list, &name).is_some() && !self.is_ours(&name) {
                    return Err(Error::permanent(format!(
                        "the kubeconfig already has a context `{name}` that paydeploy did not write"
                    ))
                    .with_hint(format!("rename it: `kubectl config rename-context {name} NAME`")));
                }
                self.put(list, &name, entry.clone());
            }
            if !self.0.contains_key("current-context") {
                self.0.insert("current-context".into(), name.into());
            }
        }
        Ok(())
    }

    /// The contexts' names.
    pub fn names(&self) -> Vec<String> {
        let contexts = self.0.get("contexts").and_then(Value::as_sequence);
        let name = |entry: &Value| Some(entry.get("name")?.as_str()?.to_owned());
        contexts.into_iter().flatten().filter_map(name).collect()
    }

    /// Whether the user of that name gets its credentials from `paydeploy token`. The program's name is not
    /// compared, because a copy may have been renamed.
    fn is_ours(&self, name: &str) -> bool {
        let exec = self.entry("users", name).and_then(|entry| entry.get("user")?.get("exec"));
        exec.and_then(|exec| exec.get("args")?.get(0)?.as_str()) == Some("token")
    }
}

fn named(entry: &Value, name: &str) -> bool {
    entry.get("name").and_then(Value::as_str) == Some(name)
}

/// The path of our own kubeconfig below `.paydeploy/`.
pub fn path(state: &Path) -> PathBuf {
    state.join("kubeconfig")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn access(endpoint: &str) -> fact::Access {
        fact::Access {
            aws_region: "eu-south-2".to_owned(),
            cluster: fact::Cluster {
                cluster_name: "payments-spain".to_owned(),
                cluster_endpoint: endpoint.to_owned(),
                cluster_ca: "Q0E=".to_owned(),
                external_secrets_role_arn: String::new(),
                external_dns_role_arn: String::new(),
                lb_controller_role_arn: String::new(),
                argocd_role_arn: String::new(),
            },
        }
    }

    pub fn with(regions: &[&str]) -> Kubeconfig {
        let mut file = Kubeconfig::default();
        for region in regions {
            file.set(region, &access("https://x"), "payment-api", Path::new("/usr/bin/paydeploy"));
        }
        file
    }

    fn merge(existing: &str, ours: &str) -> Result<String> {
        let mut merged = Kubeconfig::parse(existing)?;
        merged.merge(ours)?;
        Ok(merged.render())
    }

    pub const USERS_OWN: &str = "apiVersion: v1
kind: Config
preferences: {colors: true}
current-context: home
clusters: [{name: home, cluster: {server: 'https://home', insecure-skip-tls-verify: true}}]
contexts: [{name: home, context: {cluster: home, user: me, extensions: [{name: x}]}}]
users: [{name: me, user: {token: abc}}]
";

    #[test]
    fn a_context_has_the_plugins_absolute_path_and_all_its_arguments() {
        insta::assert_snapshot!(with(&["spain"]).render(), @r"
        apiVersion: v1
        kind: Config
        clusters:
        - name: spain
          cluster:
            certificate-authority-data: Q0E=
            server: https://x
        users:
        - name: spain
          user:
            exec:
              apiVersion: client.authentication.k8s.io/v1beta1
              args:
              - token
              - --cluster
              - payments-spain
              - --aws-region
              - eu-south-2
              command: /usr/bin/paydeploy
              interactiveMode: Never
              provideClusterInfo: false
        contexts:
        - name: spain
          context:
            cluster: spain
            namespace: payment-api
            user: spain
        current-context: spain
        ");
    }

    #[test]
    fn merging_keeps_everything_else() {
        let merged = merge(USERS_OWN, &with(&["spain"]).render()).unwrap();
        let merged = Kubeconfig::parse(&merged).unwrap();
        let before = Kubeconfig::parse(USERS_OWN).unwrap();
        assert_eq!(merged.names(), ["home", "spain"]);
        assert_eq!(merged.0["current-context"], "home");
        assert_eq!(merged.0["preferences"], before.0["preferences"]);
        for (list, name) in [("clusters", "home"), ("users", "me"), ("contexts", "home")] {
            assert_eq!(merged.entry(list, name), before.entry(list, name));
        }
    }

    #[test]
    fn merging_twice_equals_merging_once_and_updates_our_own_contexts() {
        let once = merge(USERS_OWN, &with(&["spain"]).render()).unwrap();
        assert_eq!(merge(&once, &with(&["spain"]).render()).unwrap(), once);
        let mut moved = Kubeconfig::default();
        moved.set("spain", &access("https://moved"), "payment-api", Path::new("/opt/paydeploy"));
        let merged = merge(&once, &moved.render()).unwrap();
        assert!(merged.contains("https://moved") && !merged.contains("https://x"), "{merged}");
        assert!(!merged.contains("/usr/bin/paydeploy"), "{merged}");
    }

    #[test]
    fn merging_does_not_overwrite_a_context_that_paydeploy_did_not_write() {
        let error = merge(&USERS_OWN.replace("home", "spain"), &with(&["spain"]).render()).unwrap_err();
        assert!(error.to_string().contains("`spain` that paydeploy did not write"), "{error}");
    }

    #[test]
    fn merging_into_an_empty_file_creates_a_kubeconfig() {
        assert_eq!(merge("", &with(&["spain"]).render()).unwrap(), with(&["spain"]).render());
        merge("- a list", "").unwrap_err();
    }

    #[test]
    fn removing_a_region_leaves_the_others_and_a_current_context_that_exists() {
        let mut file = with(&["spain", "mexico"]);
        assert!(file.remove("spain"));
        assert!(!file.remove("spain"));
        assert_eq!(file.names(), ["mexico"]);
        assert_eq!(file.0["current-context"], "mexico");
    }

    #[test]
    fn a_context_is_up_to_date_with_any_existing_copy_of_the_program() {
        let dir = tempfile::tempdir().unwrap();
        let (copy, elsewhere) = (dir.path().join("paydeploy"), Path::new("/opt/paydeploy"));
        let mut file = Kubeconfig::default();
        file.set("spain", &access("https://x"), "payment-api", &copy);
        let has = |endpoint: &str| file.has("spain", &access(endpoint), "payment-api", elsewhere);
        assert!(!has("https://x"));
        fs::write(&copy, "").unwrap();
        assert!(has("https://x"));
        assert!(!has("https://moved"));
        assert!(!file.has("mexico", &access("https://x"), "payment-api", elsewhere));
    }
}
