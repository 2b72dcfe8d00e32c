//! The phase `kubeconfig`: waits for a region's API server, and writes a context for it to `.paydeploy/kubeconfig`.

use std::{path::PathBuf, time::Duration};

use crate::{
    config::{Config, Region},
    fact,
    kubernetes::{
        self,
        kubeconfig::{self, Kubeconfig},
    },
    step::{Check, Class, Context, ErrorExt, Phase, Poll, Result, Seen, Step, StepId},
};

/// An ACTIVE cluster may refuse connections and tokens, or have no DNS record, for some minutes.
const READY_DEADLINE: Duration = Duration::from_mins(5);
/// Between two requests for the API server's version.
const INTERVAL: Duration = Duration::from_secs(3);

/// One context in `.paydeploy/kubeconfig`.
///
/// The fact comes from the API server only. The file is for people: `read` ignores it, so that every machine reads the
/// same state.
pub struct Access {
    region: Region,
    namespace: String,
}

/// The step for a region's cluster.
pub fn region(config: &Config, region: &Region) -> Access {
    Access { region: region.clone(), namespace: config.gitops.namespace.clone() }
}

impl Access {
    fn access(&self, cluster: &fact::Cluster) -> fact::Access {
        fact::Access { cluster: cluster.clone(), aws_region: self.region.aws_region.clone() }
    }

    /// The API server's version, requested with our own token.
    async fn server_version(&self, cx: &Context, access: &fact::Access) -> Result<String> {
        let client = kubernetes::connect(&cx.world.aws, access).await?;
        let version = client.apiserver_version().await.map_err(kubernetes::classify);
        let version = version.doing(format!(
            "reach cluster `{}` in `{}`",
            access.cluster.cluster_name, self.region.aws_region
        ))?;
        Ok(format!("Kubernetes {}", version.git_version))
    }
}

/// The context to write.
pub struct AccessChange {
    access: fact::Access,
}

impl Step for Access {
    type Input = fact::Cluster;
    type Fact = fact::Access;
    type Change = AccessChange;

    fn id(&self) -> StepId {
        StepId::of(Phase::Kubeconfig, &self.region.name)
    }

    async fn read(&self, cx: &Context, input: &Self::Input) -> Result<Seen<Self::Fact>> {
        let access = self.access(input);
        let version = self.server_version(cx, &access).await?;
        Ok(Seen::ok(access, version))
    }

    async fn check(&self, cx: &Context, input: &Self::Input) -> Result<Check<Self::Change>> {
        let access = self.access(input);
        let mut lines = Vec::new();
        let version = match self.server_version(cx, &access).await {
            Ok(version) => version,
            Err(error) if error.class == Class::Transient => {
                lines.push(format!("wait for the API server: {error}"));
                String::new()
            }
            Err(error) => return Err(error),
        };
        let path = path(cx);
        let (name, program) = (&self.region.name, kubeconfig::program()?);
        if !Kubeconfig::load(&path)?.has(name.as_str(), &access, &self.namespace, &program) {
            lines.push(format!("write context `{name}` to `{}`", path.display()));
        }
        Ok(if lines.is_empty() {
            Check::Clean(version)
        } else {
            Check::Change { lines, change: AccessChange { access } }
        })
    }

    async fn apply(
        &self,
        cx: &Context,
        _: &Self::Input,
        AccessChange { access }: AccessChange,
    ) -> Result<()> {
        let responds = || async { self.server_version(cx, &access).await.map(Poll::Ready) };
        cx.wait("the API server", INTERVAL, READY_DEADLINE, responds)
            .await
            .hint("make sure that `cluster_endpoint_public_access_cidrs` of the region admits this machine's public IP address")?;
        let (name, program) = (self.region.name.as_str(), kubeconfig::program()?);
        kubeconfig::change(&path(cx), |file| {
            file.set(name, &access, &self.namespace, &program);
            Ok(())
        })
    }

    async fn destroy(&self, cx: &Context, _: Option<&Self::Input>) -> Result<Option<String>> {
        let name = self.region.name.as_str();
        let removed = kubeconfig::change(&path(cx), |file| Ok(file.remove(name)))?;
        Ok(removed.then(|| format!("context `{name}` deleted")))
    }
}

fn path(cx: &Context) -> PathBuf {
    kubeconfig::path(&cx.world.state)
}
