//! A step's surroundings for unit tests: nothing real behind them.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use super::{Context, World};
use crate::{
    aws::Aws,
    config::{Config, Gitops, Image, Preflight, Profile, Region, Role, Terraform},
    task::{self, Phase, testing::Told},
    tool::Tools,
};

/// A context whose log and state lie in `dir`, and what is told of it.
pub fn context(dir: &Path) -> (Context, Told) {
    let (task, told) = task::testing::task(dir);
    let world = World {
        config: config(dir),
        aws: Aws::new(aws_config::SdkConfig::builder().build()),
        tools: Tools::default(),
        state: dir.join(".paydeploy"),
        phases: Phase::ALL.into(),
        allow_replace: Vec::new(),
    };
    (Context { task, world: Arc::new(world) }, told)
}

/// A region of which a test changes what it is about.
pub fn region() -> Region {
    Region {
        name: "spain".parse().unwrap(),
        aws_region: "eu-south-2".to_owned(),
        role: Role::Hub,
        var_file: "spain.tfvars".into(),
        domain: "api-es.payments.example".to_owned(),
        vpc_cidr: None,
        hosted_zone: None,
        admitted: Vec::new(),
    }
}

fn config(root: &Path) -> Config {
    Config {
        root: root.to_owned(),
        project: "payment-latency-api".to_owned(),
        account: "123456789012".to_owned(),
        profile: Profile::Staging,
        terraform: Terraform { stacks: root.join("terraform/stacks") },
        image: Image {
            context: root.to_owned(),
            dockerfile: "Dockerfile".into(),
            repository: "payment-latency-api".to_owned(),
            build_args: BTreeMap::new(),
            network: None,
        },
        gitops: Gitops {
            repository: "https://git.example/payments.git".to_owned(),
            chart: "charts/payment-latency-api".into(),
            manifests: "gitops".into(),
            namespace: "payment-api".to_owned(),
            credentials: None,
        },
        preflight: Preflight::default(),
        rollout: Vec::new(),
        addons: BTreeMap::new(),
        regions: BTreeMap::new(),
    }
}
