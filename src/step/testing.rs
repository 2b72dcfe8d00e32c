//! A step's context for unit tests, with nothing real behind it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Context, World};
use crate::{
    aws::Aws,
    config::{Config, Gitops, Image, Preflight, Profile, Region, Role, Terraform},
    task::{self, Phase, testing::Sent},
    tool::Tools,
};

/// A context whose log and state are in `dir`, and its events.
pub fn context(dir: &Path) -> (Context, Sent) {
    let (task, events) = task::testing::task(dir);
    let world = World {
        config: config(dir),
        aws: Aws::new(aws_config::SdkConfig::builder().build()),
        tools: Tools::default(),
        state: dir.join(".paydeploy"),
        phases: Phase::ALL.into(),
        chosen: Vec::new(),
        allow_replace: Vec::new(),
        allow_downgrade: false,
        teardown: None,
        reached: crate::kubernetes::Reached::default(),
    };
    (Context { task, world: Arc::new(world) }, events)
}

/// A region, of which a test changes the fields that it is about.
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
        data_tags: BTreeMap::new(),
    }
}

/// Writes a shell script that takes the place of a program.
///
/// Another process writes it: a child that another test forks meanwhile could inherit this process's open file, and a
/// file that is open for writing cannot be executed (ETXTBSY).
pub fn program(path: &Path, script: &str) -> PathBuf {
    let write = "printf '#!/bin/sh\n%s\n' \"$1\" >\"$0\" && chmod +x \"$0\"";
    let written = std::process::Command::new("sh").args(["-c", write]).arg(path).arg(script).status();
    assert!(written.unwrap().success());
    path.to_owned()
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
