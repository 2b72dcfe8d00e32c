//! Helm itself, as a child.

use std::{path::Path, time::Duration};

use serde_json::Value;

use super::{
    super::kubeconfig::{self, Kubeconfig},
    wanted::Wanted,
};
use crate::{
    fact,
    task::{ErrorExt, Result, Task},
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
        self.command.run(task).await
    }
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
