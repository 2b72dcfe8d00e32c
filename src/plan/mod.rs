//! From a configuration to the graph. The only place that names phases; pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    config::{Config, Region},
    engine::{After, AnyOf, Graph, Handle},
    fact,
    phase::{apps, argocd, docker, helm_deps, kubeconfig, preflight, secrets, terraform},
    step::{Phase, RegionName, StepId},
};

/// How the graph is to be laid.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// Regions that a release reaches one after the other, in the order of `[rollout]`: the next only when
    /// the one before is healthy. None for a first deployment, where nobody is served yet.
    pub in_order: BTreeSet<RegionName>,
}

/// The graph, and those of its facts that a command shows at its end.
pub struct Plan {
    pub graph: Graph,
    pub releases: BTreeMap<RegionName, Handle<fact::Release>>,
    pub accesses: BTreeMap<RegionName, Handle<fact::Access>>,
}

impl Plan {
    /// The steps of a phase.
    pub fn of_phase(&self, phase: Phase) -> impl Iterator<Item = &StepId> {
        self.graph.ids().filter(move |step| step.phase == phase)
    }
}

/// What a region's first layer gives to the others.
struct RegionBase {
    foundation: Handle<fact::Foundation>,
    certificate: Handle<fact::Certificate>,
    database: Handle<fact::Database>,
    access: Handle<fact::Access>,
    addons: After,
    /// Of them, what Argo CD's own installation builds on where the region is the hub.
    before_argo: After,
    secrets: Handle<fact::Secrets>,
}

/// Lays the graph over all regions of a configuration.
pub fn build(config: &Config, shape: &Shape) -> Plan {
    let mut graph = Graph::default();
    let preflight = graph.add(preflight::look(config), ());
    let foundations: BTreeMap<&RegionName, Handle<fact::Foundation>> = config
        .regions
        .values()
        .map(|region| {
            let bucket = graph.add(terraform::state_bucket(config, region), preflight.clone());
            let foundation = graph.add(terraform::foundation(config, region), (bucket, preflight.clone()));
            (&region.name, foundation)
        })
        .collect();
    let hub = config.hub();
    let bases: BTreeMap<&RegionName, RegionBase> = config
        .regions
        .values()
        .map(|region| (&region.name, base(&mut graph, config, region, &foundations, &preflight)))
        .collect();

    let everywhere = AnyOf(foundations.values().cloned().collect());
    let built = graph.add(docker::build(config), (preflight.clone(), everywhere));
    let hub_access = bases[&hub.name].access.clone();
    let before_argo = bases[&hub.name].before_argo.clone();
    let argo = graph.add(argocd::install(config), (hub_access.clone(), before_argo));
    let manifests = graph.add(apps::manifests(config), (hub_access.clone(), argo.clone()));

    let mut releases: BTreeMap<RegionName, Handle<fact::Release>> = BTreeMap::new();
    let mut before: Option<Handle<fact::Release>> = None;
    for name in &config.rollout {
        let (region, base) = (&config.regions[name], &bases[name]);
        let image = graph.add(docker::region(config, region), (built.clone(), base.foundation.clone()));
        let (here, there) = (base.access.clone(), hub_access.clone());
        let installed = After::default().step(&argo);
        let granted = graph.add(argocd::access(config, region), (here.clone(), there.clone(), installed));
        let registration = (here.clone(), there.clone(), granted, argo.clone());
        let registered = graph.add(argocd::register(config, region), registration);
        let mut after = base.addons.clone().step(&manifests);
        let ordered = shape.in_order.contains(name);
        if let Some(before) = before.as_ref().filter(|_| ordered) {
            after = after.step(before);
        }
        let needs = (
            (here, there),
            preflight.clone(),
            registered,
            base.foundation.clone(),
            (image, base.secrets.clone()),
            base.database.clone(),
            base.certificate.clone(),
            after,
        );
        let release = graph.add(apps::release(config, region), needs);
        if ordered {
            before = Some(release.clone());
        }
        releases.insert(name.clone(), release);
    }
    let accesses = bases.iter().map(|(name, base)| ((*name).clone(), base.access.clone())).collect();
    Plan { graph, releases, accesses }
}

/// A region's stacks, its cluster's door and add-ons, its secrets.
fn base(
    graph: &mut Graph,
    config: &Config,
    region: &Region,
    foundations: &BTreeMap<&RegionName, Handle<fact::Foundation>>,
    preflight: &Handle<fact::Preflight>,
) -> RegionBase {
    let hub = &config.hub().name;
    let foundation = foundations[&region.name].clone();
    // the hub's addresses are what a spoke's API server lets in
    let hub_foundation = (*hub != region.name).then(|| foundations[hub].clone());
    let cluster_needs = (foundation.clone(), hub_foundation, preflight.clone());
    let cluster = graph.add(terraform::cluster(config, region), cluster_needs);
    let database = graph.add(terraform::database(config, region), foundation.clone());
    graph.add(terraform::audit(config, region), foundation.clone());
    let certificate = graph.add(terraform::certificate(config, region), foundation.clone());
    let access = graph.add(kubeconfig::region(config, region), cluster);
    let secrets = graph.add(secrets::region(config, region), foundation.clone());

    let (mut addons, mut before_argo) = (After::default(), After::default());
    let wanted = |name: &&String| *name != helm_deps::ARGO_CD && *name != helm_deps::LOAD_BALANCER_CONTROLLER;
    let needs = (access.clone(), foundation.clone(), After::default());
    let first = graph.add(helm_deps::addon(config, region, helm_deps::LOAD_BALANCER_CONTROLLER), needs);
    addons = addons.step(&first);
    before_argo = before_argo.step(&first);
    for name in config.addons.keys().filter(wanted) {
        let needs = (access.clone(), foundation.clone(), After::default().step(&first));
        let addon = graph.add(helm_deps::addon(config, region, name), needs);
        addons = addons.step(&addon);
        // its chart may have monitors of its own
        if name == helm_deps::MONITORS {
            before_argo = before_argo.step(&addon);
        }
    }
    RegionBase { foundation, certificate, database, access, addons, before_argo, secrets }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    fn example() -> Config {
        config::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("paydeploy.toml")).unwrap()
    }

    fn lines(plan: &Plan) -> String {
        let needs = |step| plan.graph.needs(step).iter().map(StepId::to_string).collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = plan.graph.ids().map(|step| format!("{step} <- {}", needs(step))).collect();
        lines.join("\n")
    }

    #[test]
    fn the_graph_of_two_regions_is_as_it_was_reviewed() {
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
    fn a_release_goes_by_the_order_of_the_rollout_and_not_of_the_names() {
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
        // one that this run does not release is passed over
        assert_eq!(
            waits(&config, &["andorra", "mexico"]),
            [after("andorra", &["mexico"]), after("mexico", &[]), after("spain", &[])]
        );
    }
}
