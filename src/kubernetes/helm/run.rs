//! Helm as a child process.

use std::{collections::BTreeSet, path::Path, time::Duration};

use secrecy::ExposeSecret;
use serde_json::Value;
use uuid::Uuid;

use super::{
    super::{bearer::Signer, client::kubeconfig_without_user, documents, kubeconfig},
    stored::MARK,
    wanted::Wanted,
};
use crate::{
    aws::Aws,
    fact,
    task::{Claim, Class, Error, ErrorExt, Result, Task},
    tool::Command,
};

/// The timeout of one Helm command, hooks included, as Helm's `--timeout` takes it.
const HELM: &str = "5m";
/// Helm's own timeout, and a minute in which it can report that it has passed.
const CHILD: Duration = Duration::from_mins(6);

/// The Helm to run, and where.
#[derive(Debug, Clone, Copy)]
pub struct Runner<'a> {
    /// Signs Helm's tokens.
    pub aws: &'a Aws,
    pub program: &'a Path,
    /// The folder for temporary files.
    pub state: &'a Path,
    /// The folder that the charts' paths are relative to.
    pub root: &'a Path,
}

/// The variable from which Helm reads a bearer token.
const TOKEN: &str = "HELM_KUBETOKEN";

/// Helm with its own kubeconfig, which is deleted when this is dropped.
///
/// Helm gets a token for this cluster alone, in its environment and not in a file, and no AWS credentials. The token
/// lasts for 14 minutes, longer than [`CHILD`]. The region's context in `.paydeploy/` is not used, because it is missing
/// where another machine set up the cluster.
struct Helm {
    files: tempfile::TempDir,
    command: Command,
    signer: Signer,
}

impl Helm {
    async fn new(runner: Runner<'_>, access: &fact::Access, namespace: &str, verb: &[&str]) -> Result<Self> {
        std::fs::create_dir_all(runner.state)
            .doing(format!("create the folder `{}`", runner.state.display()))?;
        let files = tempfile::Builder::new().prefix("helm-").tempdir_in(runner.state)?;
        let path = files.path().join("kubeconfig");
        kubeconfig::write_private(&path, &kubeconfig_without_user(access).to_string())?;
        let signer = Signer::new(runner.aws, access);
        let name = &access.cluster.cluster_name;
        let command = helm(runner)
            .args(verb)
            .args(["--namespace", namespace, "--timeout", HELM, "--kube-context", name])
            .arg("--kubeconfig")
            .arg(&path)
            .env(TOKEN, signer.token().await?.secret.expose_secret());
        Ok(Self { files, command, signer })
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

    /// Runs Helm. The claim is released only when Helm succeeds: what a failed one left is for the next attempt's repair
    /// to see.
    async fn run(&self, task: &Task, claim: &Claim) -> Result<()> {
        task.claim(claim).await?;
        let Err(error) = self.command.run(task).await else {
            task.release(claim);
            return Ok(());
        };
        let error = classified(error);
        let message = error.to_string().to_lowercase();
        let is_refusal = error.class == Class::Permanent && REFUSED.iter().any(|text| message.contains(text));
        // If it cannot be determined whether the access entry is new, Helm's own error says the most.
        if is_refusal && self.signer.is_settling().await.unwrap_or(false) {
            return Err(Error { class: Class::Transient, ..error });
        }
        Err(error)
    }
}

/// What Helm prints, in lower case, when the API server refuses it with 401 or 403.
const REFUSED: [&str; 3] = ["unauthorized", "must be logged in", "is forbidden"];

/// The environment and the folder of every Helm command.
fn helm(runner: Runner) -> Command {
    Command::new(runner.program)
        .pass_env("HELM_CACHE_HOME")
        .pass_env("HELM_CONFIG_HOME")
        .pass_env("HELM_DATA_HOME")
        .pass_env("HELM_REGISTRY_CONFIG")
        .dir(runner.root)
        .deadline(CHILD)
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

/// The CustomResourceDefinitions in the folder `crds` of the chart and of the charts that it contains.
pub(super) async fn crds(task: &Task, runner: Runner<'_>, wanted: &Wanted) -> Result<Vec<Value>> {
    let show = helm(runner).args(["show", "crds"]).args(wanted.chart_args());
    let shown = show.args(["--version", &wanted.version]).output(task).await.map_err(classified);
    let doing = || format!("read the CustomResourceDefinitions of chart `{}`", wanted.chart);
    let objects = documents(&separated(&shown.doing(doing())?)).doing(doing())?;
    Ok(objects.into_iter().filter(|object| object["kind"] == "CustomResourceDefinition").collect())
}

/// Documents with a separator before each. Helm 3 prints the files of `crds/` one after the other without one, and a
/// parser would take two neighbours for one object: a top-level key that repeats starts the next document.
fn separated(text: &str) -> String {
    let (mut documents, mut seen) = (String::new(), BTreeSet::new());
    for line in text.lines() {
        let key = line.split_once(':').map(|(key, _)| key);
        let key = key.filter(|key| !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric()));
        if line.starts_with("---") {
            seen.clear();
        } else if key.is_some_and(|key| !seen.insert(key)) {
            documents.push_str("---\n");
            seen = BTreeSet::from_iter(key);
        }
        documents.push_str(line);
        documents.push('\n');
    }
    documents
}

/// Installs a release, or upgrades it to its configuration.
pub(super) async fn upgrade(
    task: &Task,
    runner: Runner<'_>,
    access: &fact::Access,
    wanted: &Wanted,
    revision: u32,
) -> Result<()> {
    let mark = Uuid::now_v7().simple().to_string();
    let claim = Claim::Release {
        cluster: access.cluster.cluster_name.clone(),
        namespace: wanted.namespace.clone(),
        release: wanted.release.clone(),
        revision,
        mark: Some(mark.clone()),
    };
    task.progress(format!("helm upgrade --install {} {}", wanted.release, wanted.version));
    Helm::new(runner, access, &wanted.namespace, &["upgrade", "--install", &wanted.release])
        .await?
        .args(wanted.chart_args())
        .args(["--version", &wanted.version, "--create-namespace", "--reset-values"])
        .args(["--labels", &format!("{MARK}={mark}")])
        .values(&wanted.values)?
        .run(task, &claim)
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
    let claim = Claim::Uninstall {
        cluster: access.cluster.cluster_name.clone(),
        namespace: namespace.to_owned(),
        release: release.to_owned(),
    };
    task.progress(format!("helm uninstall {release}"));
    Helm::new(runner, access, namespace, &["uninstall", release, "--wait"])
        .await?
        .run(task, &claim)
        .await
        .doing(format!("uninstall release `{release}`"))
}

/// Rolls a release back to an earlier revision, which creates the revision `next`.
pub(super) async fn rollback(
    task: &Task,
    runner: Runner<'_>,
    access: &fact::Access,
    (namespace, release): (&str, &str),
    revision: u32,
    next: u32,
) -> Result<()> {
    let claim = Claim::Release {
        cluster: access.cluster.cluster_name.clone(),
        namespace: namespace.to_owned(),
        release: release.to_owned(),
        revision: next,
        mark: None,
    };
    let revision = revision.to_string();
    Helm::new(runner, access, namespace, &["rollback", release, &revision])
        .await?
        .run(task, &claim)
        .await
        .doing(format!("roll release `{release}` back to revision {revision}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Runner, classified, documents, separated, uninstall};
    use crate::{
        kubernetes::testing::Server,
        step::testing::program,
        task::{Class, Error, testing},
    };

    #[test]
    fn files_that_helm_prints_without_a_separator_stay_apart() {
        let crd = |name: &str| {
            format!("apiVersion: v1\nkind: CustomResourceDefinition\nmetadata:\n  name: {name}\n")
        };
        let shown =
            [crd("a"), crd("b"), "---\n".to_owned(), crd("c"), "# a comment\n".to_owned(), crd("d")].concat();
        let objects = documents(&separated(&shown)).unwrap();
        let names: Vec<_> =
            objects.iter().map(|object| object["metadata"]["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
    }

    #[tokio::test]
    async fn helm_gets_a_token_for_the_cluster_and_no_aws_credentials() {
        let dir = tempfile::tempdir().unwrap();
        let (task, _events) = testing::task(dir.path());
        let server = Server::with([]).await;
        let helm = program(&dir.path().join("helm"), "env >\"$0.env\"; cp \"${11}\" \"$0.kubeconfig\"");
        let aws = server.aws();
        let runner = Runner { aws: &aws, program: &helm, state: dir.path(), root: dir.path() };
        uninstall(&task, runner, &server.access(), "argocd", "argocd").await.unwrap();
        let seen = fs::read_to_string(dir.path().join("helm.env")).unwrap();
        assert!(
            seen.contains("\nHELM_KUBETOKEN=k8s-aws-v1.") || seen.starts_with("HELM_KUBETOKEN=k8s-aws-v1.")
        );
        assert!(!seen.contains("AWS_"), "credentials reached Helm");
        let files = ["runs/test.log", "helm.kubeconfig"]
            .map(|file| fs::read_to_string(dir.path().join(file)).unwrap());
        assert!(
            files.iter().all(|text| !text.contains("k8s-aws-v1.") && !text.contains("exec")),
            "{files:?}"
        );
    }

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
