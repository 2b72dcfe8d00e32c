//! From the configuration to the graph: a pure function, and the only place that names phases.
//!
//! 1. The preflight and, per region, the state bucket and the stack `foundation` come first.
//! 2. Each region gets its base: the other stacks, the cluster's access and add-ons, the secrets (`region`).
//! 3. The image is built once, and Argo CD and the manifests are installed on the hub.
//! 4. Each region, in the order of `[rollout]`, gets its image, its registration and its release (`release`).

mod needs;
mod region;
mod release;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    config::Config,
    engine::{AnyOf, Graph, Handle},
    fact,
    phase::{apps, argocd, docker, preflight, terraform},
    step::RegionName,
};
use region::RegionBase;
use release::Releases;

/// Options of the graph.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// Regions that are released one after the other, in the order of `[rollout]`: each starts when the one
    /// before is healthy. Empty for a first deployment, which has no users to protect yet.
    pub in_order: BTreeSet<RegionName>,
}

/// The graph, and the handles of the facts that a command prints at its end.
pub struct Plan {
    pub graph: Graph,
    pub releases: BTreeMap<RegionName, Handle<fact::Release>>,
    pub accesses: BTreeMap<RegionName, Handle<fact::Access>>,
}

/// Builds the graph of all regions of a configuration.
pub fn build(config: &Config, shape: &Shape) -> Plan {
    let mut graph = Graph::default();
    let preflight = graph.add(preflight::preflight(config), ());
    // All foundations exist before any cluster is added: a spoke's cluster takes the hub's.
    let foundations: BTreeMap<&RegionName, Handle<fact::Foundation>> = config
        .regions
        .values()
        .map(|region| {
            let bucket = graph.add(terraform::state_bucket(config, region), preflight.clone());
            let foundation = graph.add(terraform::foundation(config, region), (bucket, preflight.clone()));
            (&region.name, foundation)
        })
        .collect();
    let bases: BTreeMap<&RegionName, RegionBase> = config
        .regions
        .values()
        .map(|region| (&region.name, region::base(&mut graph, config, region, &foundations, &preflight)))
        .collect();

    let any_foundation = AnyOf(foundations.values().cloned().collect());
    let built = graph.add(docker::build(config), (preflight.clone(), any_foundation));
    let hub = &bases[&config.hub().name];
    let hub_access = hub.access.clone();
    let argo_cd = graph.add(argocd::install(config), (hub_access.clone(), hub.before_argo_cd.clone()));
    let manifests = graph.add(apps::manifests(config), (hub_access.clone(), argo_cd.clone()));
    let mut releases = Releases {
        config,
        shape,
        preflight,
        hub_access,
        built,
        argo_cd,
        manifests,
        previous: None,
        added: BTreeMap::new(),
    };
    for name in &config.rollout {
        releases.add(&mut graph, &config.regions[name], &bases[name]);
    }
    let accesses = bases.iter().map(|(name, base)| ((*name).clone(), base.access.clone())).collect();
    Plan { graph, releases: releases.added, accesses }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        config::{self, Region},
        step::{Phase, StepId},
    };

    fn example() -> Config {
        config::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("paydeploy.toml")).unwrap()
    }

    fn lines(plan: &Plan) -> String {
        let needs = |step| plan.graph.needs(step).iter().map(StepId::to_string).collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = plan.graph.ids().map(|step| format!("{step} <- {}", needs(step))).collect();
        lines.join("\n")
    }

    #[test]
    fn the_graph_of_two_regions_matches_the_reviewed_snapshot() {
        insta::assert_snapshot!(lines(&build(&example(), &Shape::default())));
    }

    /// The regions that each region's release waits for.
    fn waits(config: &Config, in_order: &[&str]) -> Vec<(String, Vec<String>)> {
        let shape = Shape { in_order: in_order.iter().map(|name| name.parse().unwrap()).collect() };
        let plan = build(config, &shape);
        let waits = |(name, handle): (&RegionName, &Handle<fact::Release>)| {
            let releases = plan.graph.needs(handle.id()).iter().filter(|need| need.phase == Phase::Apps);
            let before = releases.filter_map(|need| need.region.as_ref().map(ToString::to_string)).collect();
            (name.to_string(), before)
        };
        plan.releases.iter().map(waits).collect()
    }

    #[test]
    fn releases_follow_the_order_of_the_rollout_not_of_the_names() {
        let mut config = example();
        let names: [RegionName; 3] = ["mexico", "spain", "andorra"].map(|name| name.parse().unwrap());
        let third = Region { name: names[2].clone(), ..config.regions[&names[0]].clone() };
        config.regions.insert(names[2].clone(), third);
        config.rollout = names.to_vec();
        let after = |region: &str, before: &[&str]| {
            (region.to_owned(), before.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(
            waits(&config, &["andorra", "mexico", "spain"]),
            [after("andorra", &["spain"]), after("mexico", &[]), after("spain", &["mexico"])]
        );
        // A region that this run does not release is skipped.
        assert_eq!(
            waits(&config, &["andorra", "mexico"]),
            [after("andorra", &["mexico"]), after("mexico", &[]), after("spain", &[])]
        );
    }
}
