//! A client of a region's API server.

use std::{sync::Arc, time::Duration};

use aws_sdk_eks::types::ClusterStatus;
use kube::{
    Client, Config,
    client::ClientBuilder,
    config::{KubeConfigOptions, Kubeconfig},
};

use super::{
    admission::AdmissionLayer,
    bearer::{BearerLayer, Signer},
};
use crate::{
    aws::{self, Aws},
    fact,
    task::{ErrorExt, Result},
    web_proxy,
};

/// An API server that is up accepts a connection within a second, across regions too.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Nothing is watched or streamed here, so that a longer silence means a dead connection.
const IO_TIMEOUT: Duration = Duration::from_mins(1);

/// A client that signs its own tokens with the run's credentials. It connects on its first request.
pub async fn connect(aws: &Aws, access: &fact::Access) -> Result<Client> {
    let cluster = &access.cluster;
    let kubeconfig: Kubeconfig = serde_json::from_value(kubeconfig_without_user(access))?;
    let doing = format!("use the endpoint and the certificate of cluster `{}`", cluster.cluster_name);
    let mut config =
        Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.doing(doing)?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(IO_TIMEOUT);
    config.write_timeout = Some(IO_TIMEOUT);
    // Sending a large body counts as progress: without this the read timeout would run during the upload.
    config.reset_reader_on_write = true;
    // kube reads fewer variables than the other clients, and NO_PROXY by other rules.
    config.proxy_url = web_proxy::of(&config.cluster_url)?;
    let signer = Arc::new(Signer::new(aws, access));
    let (bearer, admission) = (BearerLayer(signer.clone()), AdmissionLayer(signer));
    Ok(ClientBuilder::try_from(config)?.with_layer(&bearer).with_layer(&admission).build())
}

/// Where the cluster is, in a kubeconfig whose context has the cluster's name and whose user has no credentials.
pub(super) fn kubeconfig_without_user(access: &fact::Access) -> serde_json::Value {
    let cluster = &access.cluster;
    let name = &cluster.cluster_name;
    serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": name,
            "cluster": {
                "server": cluster.cluster_endpoint,
                "certificate-authority-data": cluster.cluster_ca,
            },
        }],
        "contexts": [{ "name": name, "context": { "cluster": name, "user": name } }],
        "users": [{ "name": name, "user": {} }],
        "current-context": name,
    })
}

/// How to reach a cluster of which only the name is known; `None` if it does not exist, is being created or
/// is being deleted.
///
/// A teardown finds clusters this way, because a stack's outputs may be lost. The IAM roles are unknown and remain
/// empty.
pub(super) async fn find(aws: &Aws, aws_region: &str, name: &str) -> Result<Option<fact::Access>> {
    let eks = aws_sdk_eks::Client::new(&aws.in_region(aws_region));
    let described = match eks.describe_cluster().name(name).send().await {
        Ok(described) => described,
        Err(error) if aws::is_missing(&error) => return Ok(None),
        Err(error) => {
            return Err(aws::classify(error)).doing(format!("find cluster `{name}` in `{aws_region}`"));
        }
    };
    let Some(cluster) = described.cluster else { return Ok(None) };
    if cluster.status() == Some(&ClusterStatus::Deleting) {
        return Ok(None);
    }
    let ca = cluster.certificate_authority().and_then(|ca| ca.data()).map(str::to_owned);
    let (Some(endpoint), Some(ca)) = (cluster.endpoint().map(str::to_owned), ca) else { return Ok(None) };
    Ok(Some(fact::Access {
        aws_region: aws_region.to_owned(),
        cluster: fact::Cluster {
            cluster_name: name.to_owned(),
            cluster_endpoint: endpoint,
            cluster_ca: ca,
            external_secrets_role_arn: String::new(),
            external_dns_role_arn: String::new(),
            lb_controller_role_arn: String::new(),
            argocd_role_arn: String::new(),
        },
    }))
}
