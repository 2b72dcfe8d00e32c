//! Registers a region's cluster with Argo CD: the connection only, nothing of a release.
//!
//! After registering, the step checks that Argo CD can list the application's namespace over this connection
//! (`probe`). When it can, a hash of the connection is stored as an annotation, so each connection is probed once.

use base64::{Engine, prelude::BASE64_STANDARD};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, api::DynamicObject};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    NAMESPACE,
    probe::{self, Probe},
};
use crate::{
    config::{Config, Region},
    fact,
    kubernetes::{
        self, By, MANAGER, Open,
        argo_cd::{self, IN_CLUSTER},
        classify,
    },
    step::{Check, Claim, Context, ErrorExt, Phase, Result, Seen, Step, StepId},
};

/// The annotation with the hash of the connection that was probed.
const LISTED: &str = "paydeploy.io/listed";

/// The cluster Secret of a region.
pub struct Register {
    region: Region,
    hub: Region,
    /// The hub's EKS cluster.
    hub_cluster: String,
    namespace: String,
    repository: String,
}

/// The step that registers a region's cluster with Argo CD.
pub fn register(config: &Config, region: &Region) -> Register {
    let hub = config.hub();
    Register {
        region: region.clone(),
        hub: hub.clone(),
        hub_cluster: config.name_in(&hub.name),
        namespace: config.gitops.namespace.clone(),
        repository: config.gitops.repository.clone(),
    }
}

/// The facts that the step takes from other steps.
#[derive(Debug, Clone)]
pub struct RegisterInput {
    /// How to reach the region's cluster.
    pub access: fact::Access,
    pub hub_access: fact::Access,
    pub granted: fact::Granted,
    pub argo_cd: fact::ArgoCd,
}

/// The wanted Secret, including the annotation that is set after the probe.
pub struct RegisterChange {
    hub: Client,
    secret: Value,
}

impl Register {
    fn name(&self) -> String {
        format!("cluster-{}", self.region.name)
    }

    fn server<'a>(&self, access: &'a fact::Access) -> &'a str {
        if self.region.name == self.hub.name { IN_CLUSTER } else { &access.cluster.cluster_endpoint }
    }

    fn secret(&self, access: &fact::Access) -> Value {
        let tls = match self.server(access) {
            IN_CLUSTER => json!({ "tlsClientConfig": { "insecure": false } }),
            _ => json!({
                "awsAuthConfig": { "clusterName": access.cluster.cluster_name },
                "tlsClientConfig": { "insecure": false, "caData": access.cluster.cluster_ca },
            }),
        };
        let config = tls.to_string();
        let parts = [
            ("name", self.region.name.as_str()),
            ("server", self.server(access)),
            ("config", &config),
            ("namespaces", &self.namespace),
            ("clusterResources", "false"),
        ];
        let mut hash = Sha256::new();
        for (_, value) in parts {
            hash.update(format!("{value}\n"));
        }
        let listed = hex::encode(&hash.finalize()[..8]);
        let data: serde_json::Map<String, Value> = parts
            .iter()
            .map(|(key, value)| ((*key).to_owned(), BASE64_STANDARD.encode(value).into()))
            .collect();
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": self.name(),
                "namespace": NAMESPACE,
                "labels": {
                    "argocd.argoproj.io/secret-type": "cluster",
                    "paydeploy.io/region": self.region.name,
                },
                "annotations": { LISTED: listed },
            },
            "data": data,
        })
    }
}

impl Step for Register {
    type Input = RegisterInput;
    type Fact = fact::Registered;
    type Change = RegisterChange;

    fn id(&self) -> StepId {
        StepId::part(Phase::Argocd, &self.region.name, "register")
    }

    async fn read(
        &self,
        cx: &Context,
        RegisterInput { access, hub_access, .. }: &Self::Input,
    ) -> Result<Seen<Self::Fact>> {
        let hub = kubernetes::connect(&cx.world.aws, hub_access).await?;
        let api: Api<Secret> = Api::namespaced(hub.clone(), NAMESPACE);
        let name = self.name();
        if api
            .get_metadata_opt(&name)
            .await
            .map_err(classify)
            .doing("read the cluster Secret on the hub")?
            .is_none()
        {
            return Ok(Seen::missing("not registered"));
        }
        let fact = fact::Registered { secret: name };
        Ok(match kubernetes::difference(&hub, MANAGER, &self.secret(access), By::Reading).await? {
            None => Seen::ok(fact, "registered"),
            Some(line) => Seen::differs(fact, line),
        })
    }

    async fn check(
        &self,
        cx: &Context,
        RegisterInput { access, hub_access, .. }: &Self::Input,
    ) -> Result<Check<RegisterChange>> {
        let hub = kubernetes::connect(&cx.world.aws, hub_access).await?;
        let secret = self.secret(access);
        Ok(match kubernetes::difference(&hub, MANAGER, &secret, By::DryRun).await? {
            None => Check::Clean("registered".to_owned()),
            Some(line) => Check::Change { lines: vec![line], change: RegisterChange { hub, secret } },
        })
    }

    async fn apply(
        &self,
        cx: &Context,
        RegisterInput { access, .. }: &Self::Input,
        RegisterChange { hub, secret }: RegisterChange,
    ) -> Result<()> {
        // Without the annotation, so that a run that is interrupted before the probe succeeds repeats it.
        let mut unprobed = secret.clone();
        unprobed["metadata"]["annotations"] = json!({});
        kubernetes::apply(&hub, MANAGER, &unprobed).await?;
        let probe = Probe {
            region: self.region.name.as_str(),
            server: self.server(access),
            namespace: &self.namespace,
            repository: &self.repository,
        };
        probe.run(cx, &hub).await?;
        kubernetes::apply(&hub, MANAGER, &secret).await?;
        Ok(())
    }

    async fn repair(&self, cx: &Context, input: Option<&Self::Input>, left: &[Claim]) -> Result<()> {
        if left.is_empty() {
            return Ok(());
        }
        let known = input.map(|input| &input.hub_access);
        // Without the hub there is no Application.
        let hub = cx.open(known, &self.hub.aws_region, &self.hub_cluster).await?;
        let Some(Open { client, .. }) = hub else { return Ok(()) };
        probe::remove_left(&client, left).await
    }

    async fn destroy(&self, cx: &Context, _: Option<&Self::Input>) -> Result<Option<String>> {
        let hub = cx.reach(&self.hub.aws_region, &self.hub_cluster).await?;
        let Some(Open { client, .. }) = hub.open() else { return Ok(None) };
        // A killed run whose records are lost as well leaves its Application, which would keep Argo CD from being deleted.
        let applications: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), NAMESPACE, &argo_cd::resource("Application"));
        kubernetes::delete(&applications, &probe::name(self.region.name.as_str())).await?;
        let api: Api<Secret> = Api::namespaced(client, NAMESPACE);
        let deleted = kubernetes::delete(&api, &self.name()).await?;
        Ok(deleted.then(|| format!("{} deleted", self.name())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kubernetes::testing::Server, step::testing};

    fn region(name: &str, role: crate::config::Role) -> Region {
        Region { name: name.parse().unwrap(), aws_region: "us-east-1".to_owned(), role, ..testing::region() }
    }

    fn registration(name: &str) -> Register {
        use crate::config::Role::{Hub, Spoke};
        Register {
            region: region(name, if name == "spain" { Hub } else { Spoke }),
            hub: region("spain", Hub),
            hub_cluster: "payments-spain".to_owned(),
            namespace: "payment-api".to_owned(),
            repository: String::new(),
        }
    }

    fn secret(name: &str, endpoint: &str) -> Value {
        let cluster = fact::Cluster {
            cluster_name: format!("payments-{name}"),
            cluster_endpoint: endpoint.to_owned(),
            cluster_ca: "Q0E=".to_owned(),
            external_secrets_role_arn: String::new(),
            external_dns_role_arn: String::new(),
            lb_controller_role_arn: String::new(),
            argocd_role_arn: String::new(),
        };
        registration(name).secret(&fact::Access { cluster, aws_region: "us-east-1".to_owned() })
    }

    #[tokio::test]
    async fn a_status_only_reads() {
        let live = json!({ "metadata": { "name": "cluster-mexico" }, "data": { "name": "b3RoZXI=" } });
        let server = Server::with([("/api/v1/namespaces/argocd/secrets/cluster-mexico", live)]).await;
        let dir = tempfile::tempdir().unwrap();
        let (mut cx, _events) = testing::context(dir.path());
        std::sync::Arc::get_mut(&mut cx.world).unwrap().aws = server.aws();
        let input = RegisterInput {
            access: server.access(),
            hub_access: server.access(),
            granted: fact::Granted { namespace: "payment-api".to_owned() },
            argo_cd: fact::ArgoCd { version: String::new(), namespace: "argocd".to_owned() },
        };
        let found = registration("mexico").read(&cx, &input).await.unwrap();
        assert_eq!(found.state, crate::step::State::Differs, "{}", found.detail);
        assert!(server.asked().iter().all(|call| call.starts_with("GET ")), "{:?}", server.asked());
    }

    fn data(secret: &Value, key: &str) -> String {
        String::from_utf8(BASE64_STANDARD.decode(secret["data"][key].as_str().unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn a_spoke_is_reached_by_argo_cds_own_role_and_in_one_namespace_only() {
        let secret = secret("mexico", "https://mexico.example");
        let config: Value = serde_json::from_str(&data(&secret, "config")).unwrap();
        assert_eq!(config["awsAuthConfig"], json!({ "clusterName": "payments-mexico" }));
        assert_eq!(config["tlsClientConfig"]["caData"], "Q0E=");
        assert_eq!(data(&secret, "server"), "https://mexico.example");
        assert_eq!(data(&secret, "namespaces"), "payment-api");
        assert_eq!(data(&secret, "clusterResources"), "false");
    }

    #[test]
    fn the_hub_is_reached_in_the_cluster_and_in_one_namespace_only() {
        let secret = secret("spain", "https://spain.example");
        assert_eq!(data(&secret, "server"), IN_CLUSTER);
        assert_eq!(data(&secret, "config"), r#"{"tlsClientConfig":{"insecure":false}}"#);
        assert_eq!(data(&secret, "namespaces"), "payment-api");
    }

    #[test]
    fn a_changed_connection_is_probed_again() {
        let hash = |endpoint: &str| secret("mexico", endpoint)["metadata"]["annotations"][LISTED].clone();
        assert_eq!(hash("https://a"), hash("https://a"));
        assert_ne!(hash("https://a"), hash("https://b"));
    }
}
