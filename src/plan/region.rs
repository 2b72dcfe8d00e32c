//! A region's base: what its release, and on the hub Argo CD, are installed on.

use std::collections::BTreeMap;

use super::{fact, needs::ClusterNeeds};
use crate::{
    config::{Config, Region},
    engine::{After, Graph, Handle},
    phase::{helm_deps, kubeconfig, secrets, terraform},
    step::RegionName,
};

/// The handles of a region's stacks, access, secrets and add-ons.
pub(super) struct RegionBase {
    pub foundation: Handle<fact::Foundation>,
    pub certificate: Handle<fact::Certificate>,
    pub database: Handle<fact::Database>,
    pub access: Handle<fact::Access>,
    pub secrets: Handle<fact::Secrets>,
    /// All add-ons of the region.
    pub addons: After,
    /// Those that Argo CD's own installation needs, if the region is the hub.
    pub before_argo_cd: After,
}

/// Adds the steps of a region's base.
pub(super) fn base(
    graph: &mut Graph,
    config: &Config,
    region: &Region,
    foundations: &BTreeMap<&RegionName, Handle<fact::Foundation>>,
    preflight: &Handle<fact::Preflight>,
) -> RegionBase {
    let hub = &config.hub().name;
    let foundation = foundations[&region.name].clone();
    let cluster_needs = ClusterNeeds {
        foundation: foundation.clone(),
        // A spoke's API server admits the hub's NAT addresses, from which Argo CD connects.
        hub_foundation: (*hub != region.name).then(|| foundations[hub].clone()),
        preflight: preflight.clone(),
        after: After::default(),
    };
    let cluster = graph.add(terraform::cluster(config, region), cluster_needs);
    let database = graph.add(terraform::database(config, region), foundation.clone());
    graph.add(terraform::audit(config, region), foundation.clone());
    let certificate = graph.add(terraform::certificate(config, region), foundation.clone());
    let access = graph.add(kubeconfig::region(config, region), cluster);
    let secrets = graph.add(secrets::region(config, region), foundation.clone());
    let (addons, before_argo_cd) = add_addons(graph, config, region, &access, &foundation);
    RegionBase { foundation, certificate, database, access, secrets, addons, before_argo_cd }
}

/// Adds the region's add-ons; returns all of them, and those that Argo CD needs.
fn add_addons(
    graph: &mut Graph,
    config: &Config,
    region: &Region,
    access: &Handle<fact::Access>,
    foundation: &Handle<fact::Foundation>,
) -> (After, After) {
    let mut add = |name: &str, after: After| {
        graph.add(helm_deps::addon(config, region, name), (access.clone(), foundation.clone(), after))
    };
    // Its webhook admits every Service of the cluster, so charts installed before it is ready would fail.
    let controller = add(helm_deps::LOAD_BALANCER_CONTROLLER, After::default());
    let mut addons = After::default().step(&controller);
    let mut before_argo_cd = After::default().step(&controller);
    let others = config
        .addons
        .keys()
        .filter(|name| *name != helm_deps::ARGO_CD && *name != helm_deps::LOAD_BALANCER_CONTROLLER);
    for name in others {
        let addon = add(name, After::default().step(&controller));
        addons = addons.step(&addon);
        // Argo CD's chart may contain ServiceMonitors, whose kind this add-on installs.
        if name == helm_deps::MONITORS {
            before_argo_cd = before_argo_cd.step(&addon);
        }
    }
    (addons, before_argo_cd)
}
