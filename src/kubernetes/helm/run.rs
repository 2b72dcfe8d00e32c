//! Helm as a child process.

use std::{path::Path, time::Duration};

use serde_json::Value;

use super::{
    super::kubeconfig::{self, Kubeconfig},
    wanted::Wanted,
};
use crate::{
    fact,
    task::{Class, Error, ErrorExt, Result, Task},
    tool::Command,
};

/// The timeout of one Helm command, hooks included, as Helm's `--timeout` takes it.
const HELM: &str = "5m";
/// Helm's own timeout, and a minute in which it can report that it has passed.
const CHILD: Duration = Duration::from_mins(6);

/// The Helm to run, and where.
#[derive(Debug, Clone, Copy)]
pub struct Runner<'a> {
    pub program: &'a Path,
    /// The folder for temporary files.
    pub state: &'a Path,
    /// The folder that the charts' paths are relative to.
    pub root: &'a Path,
}

/// Helm with its own kubeconfig, which is deleted when this is dropped.
///
/// Helm gets its tokens from `paydeploy token`, not from a file. The region's context in `.paydeploy/` is not
/// used, because it is missing where another machine set up the cluster.
struct Helm {
    files: tempfile::TempDir,
    command: Command,
}

impl Helm {
    fn new(runner: Runner, access: &fact::Access, namespace: &str, verb: &[&str]) -> Result<Self> {
        let Runner { program, state, root } = runner;
        std::fs::create_dir_all(state).doing(format!("create the folder `{}`", state.display()))?;
        let files = tempfile::Builder::new().prefix("helm-").tempdir_in(state)?;
        let mut kubeconfig = Kubeconfig::default();
        let name = &access.cluster.cluster_name;
        kubeconfig.set(name, access, namespace, &kubeconfig::program()?);
        let path = files.path().join("kubeconfig");
        kubeconfig::write_private(&path, &kubeconfig.render())?;
        let command = Command::new(program)
            .args(verb)
            .args(["--namespace", namespace, "--timeout", HELM, "--kube-context", name])
            .arg("--kubeconfig")
            .arg(&path)
            .pass_env("HELM_CACHE_HOME")
            .pass_env("HELM_CONFIG_HOME")
            .pass_env("HELM_DATA_HOME")
            .pass_env("HELM_REGISTRY_CONFIG")
            .dir(root)
            .deadline(CHILD);
        Ok(Self { files, command })
    }

    fn values(self, values: &Value) -> Result<Self> {
        let path = self.files.path().join("values.json");
        kubeconfig::write_private(&path, &values.to_string())?;
        let command = self.command.clone().arg("--values").arg(&path);
        Ok(Self { command, ..self })
    }

    fn args<'a>(self, args: impl IntoIterator<Item = &'a str>) -> Self {
        Self { command: self.command.clone().args(args), ..self }
    }

    async fn run(&self, task: &Task) -> Result<()> {
        self.command.run(task).await.map_err(classified)
    }
}

/// What Helm and its registry client print when a chart, or that version of it, does not exist.
const NO_CHART: [&str; 5] = [
    "no chart version found",
    "no chart name found",
    "failed to perform \"FetchReference\"",
    "unable to locate any tags",
    "improper constraint",
];

/// Classifies Helm's failure by its message, because its exit code is 1 for everything. It passes on the
/// messages of the network and of the API server.
fn classified(error: Error) -> Error {
    if error.class != Class::Permanent {
        return error;
    }
    let message = error.to_string();
    let class = Class::classify_message(&message);
    let error = Error { class, ..error };
    if class == Class::Permanent && error.hint.is_none() && NO_CHART.iter().any(|text| message.contains(text))
    {
        return error.with_hint("correct `chart` or `version` of this add-on in paydeploy.toml");
    }
    error
}

/// Installs a release, or upgrades it to its configuration.
pub(super) async fn upgrade(
    task: &Task,
    runner: Runner<'_>,
    access: &fact::Access,
    wanted: &Wanted,
) -> Result<()> {
    task.progress(format!("helm upgrade --install {} {}", wanted.release, wanted.version));
    Helm::new(runner, access, &wanted.namespace, &["upgrade", "--install", &wanted.release])?
        .args(wanted.chart_args())
        .args(["--version", &wanted.version, "--create-namespace", "--reset-values"])
        .values(&wanted.values)?
        .run(task)
        .await
        .doing(format!("install release `{}`", wanted.release))
}

/// Uninstalls a release and waits until its objects are deleted.
pub async fn uninstall(
    task: &Task,
    runner: Runner<'_>,
    access: &fact::Access,
    namespace: &str,
    release: &str,
) -> Result<()> {
    task.progress(format!("helm uninstall {release}"));
    Helm::new(runner, access, namespace, &["uninstall", release, "--wait"])?
        .run(task)
        .await
        .doing(format!("uninstall release `{release}`"))
}

/// Rolls a release back to an earlier revision.
pub(super) async fn rollback(
    task: &Task,
    runner: Runner<'_>,
    access: &fact::Access,
    wanted: &Wanted,
    revision: u32,
) -> Result<()> {
    let revision = revision.to_string();
    Helm::new(runner, access, &wanted.namespace, &["rollback", &wanted.release, &revision])?
        .run(task)
        .await
        .doing(format!("roll release `{}` back to revision {revision}", wanted.release))
}

#[cfg(test)]
mod tests {
    use super::classified;
    use crate::task::{Class, Error};

    #[test]
    fn network_errors_are_transient_and_a_missing_chart_has_a_fix() {
        let class = |message: &str| classified(Error::permanent(message)).class;
        assert_eq!(
            class("Get \"https://c.example/index.yaml\": dial tcp 10.0.0.1:443: i/o timeout"),
            Class::Transient
        );
        assert_eq!(
            class("failed calling webhook \"m.elbv2.k8s.aws\": no endpoints available"),
            Class::Transient
        );
        assert_eq!(class("Kubernetes cluster unreachable: EOF"), Class::Transient);
        let error = classified(Error::permanent(
            "chart \"x\" matching 9.9.9 not found: no chart version found for x-9.9.9",
        ));
        assert_eq!(error.class, Class::Permanent);
        assert!(error.hint.unwrap().contains("`version`"));
        assert!(classified(Error::permanent("values don't meet the schema")).hint.is_none());
    }
}
