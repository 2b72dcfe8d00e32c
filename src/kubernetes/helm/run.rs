//! Helm itself, as a child.

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

/// Of one `helm` command, hooks included.
const HELM: &str = "5m";
/// Its own deadline and what it needs to tell it.
const CHILD: Duration = Duration::from_mins(6);

/// The helm to run, and where.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub program: &'a Path,
    /// The folder for files that go again.
    pub state: &'a Path,
    /// The folder that charts' paths start from.
    pub root: &'a Path,
}

/// Helm with a kubeconfig of its own, which goes when this is dropped.
///
/// Helm gets its tokens from `paydeploy token`, not from a file. The region's context in `.paydeploy/` is
/// not used, because another machine may have set up the cluster.
struct Helm {
    files: tempfile::TempDir,
    command: Command,
}

impl Helm {
    fn new(place: Place, access: &fact::Access, namespace: &str, verb: &[&str]) -> Result<Self> {
        let Place { program, state, root } = place;
        std::fs::create_dir_all(state).doing(format!("make the folder `{}`", state.display()))?;
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
        self.command.run(task).await.map_err(judged)
    }
}

/// Helm's and its registry client's words for a chart, or a version of it, that is not there.
const NO_CHART: [&str; 5] = [
    "no chart version found",
    "no chart name found",
    "failed to perform \"FetchReference\"",
    "unable to locate any tags",
    "improper constraint",
];

/// A helm that failed, by what it said: it passes on the words of its network and of the API server.
fn judged(error: Error) -> Error {
    if error.class != Class::Permanent {
        return error;
    }
    let said = error.to_string();
    let class = Class::classify_message(&said);
    let error = Error { class, ..error };
    if class == Class::Permanent && error.hint.is_none() && NO_CHART.iter().any(|words| said.contains(words))
    {
        return error.with_hint("correct `chart` or `version` of this add-on in paydeploy.toml");
    }
    error
}

/// Installs a release, or makes of it what is wanted.
pub(super) async fn upgrade(
    task: &Task,
    place: Place<'_>,
    access: &fact::Access,
    wanted: &Wanted,
) -> Result<()> {
    task.progress(format!("helm upgrade --install {} {}", wanted.release, wanted.version));
    Helm::new(place, access, &wanted.namespace, &["upgrade", "--install", &wanted.release])?
        .args(wanted.chart_args())
        .args(["--version", &wanted.version, "--create-namespace", "--reset-values"])
        .values(&wanted.values)?
        .run(task)
        .await
        .doing(format!("install release `{}`", wanted.release))
}

/// Removes a release and what it made; waits until that is gone.
pub async fn uninstall(
    task: &Task,
    place: Place<'_>,
    access: &fact::Access,
    namespace: &str,
    release: &str,
) -> Result<()> {
    task.progress(format!("helm uninstall {release}"));
    Helm::new(place, access, namespace, &["uninstall", release, "--wait"])?
        .run(task)
        .await
        .doing(format!("uninstall release `{release}`"))
}

/// Puts a release back to an earlier revision.
pub(super) async fn rollback(
    task: &Task,
    place: Place<'_>,
    access: &fact::Access,
    wanted: &Wanted,
    revision: u32,
) -> Result<()> {
    let revision = revision.to_string();
    Helm::new(place, access, &wanted.namespace, &["rollback", &wanted.release, &revision])?
        .run(task)
        .await
        .doing(format!("put release `{}` back to revision {revision}", wanted.release))
}

#[cfg(test)]
mod tests {
    use super::judged;
    use crate::task::{Class, Error};

    #[test]
    fn what_passes_is_tried_again_and_a_chart_that_is_not_there_is_told_with_its_place() {
        let class = |said: &str| judged(Error::permanent(said)).class;
        assert_eq!(
            class("Get \"https://c.example/index.yaml\": dial tcp 10.0.0.1:443: i/o timeout"),
            Class::Transient
        );
        assert_eq!(
            class("failed calling webhook \"m.elbv2.k8s.aws\": no endpoints available"),
            Class::Transient
        );
        assert_eq!(class("Kubernetes cluster unreachable: EOF"), Class::Transient);
        let error = judged(Error::permanent(
            "chart \"x\" matching 9.9.9 not found: no chart version found for x-9.9.9",
        ));
        assert_eq!(error.class, Class::Permanent);
        assert!(error.hint.unwrap().contains("`version`"));
        assert!(judged(Error::permanent("values don't meet the schema")).hint.is_none());
    }
}
