//! From a configuration to the graph. The only place that names phases; pure.

use std::collections::BTreeMap;

use crate::{
    config::{Config, Region},
    engine::{After, AnyOf, Graph, Handle},
    fact,
    phase::{apps, argocd, docker, helm_deps, kubeconfig, preflight, secrets, terraform},
    step::{Phase, RegionName, StepId},
};

/// How the graph is to be laid.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shape {
    /// A new release reaches the next region only when the one before is healthy. Not for a first
    /// deployment, where nobody is served yet, and not for a teardown.
    pub rollout_in_order: bool,
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
struct Ground {
    foundation: Handle<fact::Foundation>,
    certificate: Handle<fact::Certificate>,
    database: Handle<fact::Database>,
    access: Handle<fact::Access>,
    addons: After,
    secrets: Handle<fact::Secrets>,
}

/// Lays the graph over all regions of a configuration.
pub fn build(config: &Config, shape: Shape) -> Plan {
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
    let grounds: BTreeMap<&RegionName, Ground> = config
        .regions
        .values()
        .map(|region| (&region.name, ground(&mut graph, config, region, &foundations, &preflight)))
        .collect();

    let everywhere = AnyOf(foundations.values().cloned().collect());
    let built = graph.add(docker::build(config), (preflight.clone(), everywhere));
    let hub_access = grounds[&hub.name].access.clone();
    let webhook = grounds[&hub.name].addons.clone();
    let argo = graph.add(argocd::install(config), (hub_access.clone(), webhook));
    let manifests = graph.add(apps::manifests(config), (hub_access.clone(), argo.clone()));

    let mut releases: BTreeMap<RegionName, Handle<fact::Release>> = BTreeMap::new();
    for name in &config.rollout {
        let (region, ground) = (&config.regions[name], &grounds[name]);
        let image = graph.add(docker::region(config, region), (built.clone(), ground.foundation.clone()));
        let (here, there) = (ground.access.clone(), hub_access.clone());
        let installed = After::default().step(&argo);
        let granted = graph.add(argocd::access(config, region), (here.clone(), there.clone(), installed));
        let registration = (here.clone(), there.clone(), granted, argo.clone());
        let registered = graph.add(argocd::register(config, region), registration);
        let mut after = ground.addons.clone().step(&manifests);
        if let Some(before) = releases.values().next_back().filter(|_| shape.rollout_in_order) {
            after = after.step(before);
        }
        let needs = (
            (here, there),
            preflight.clone(),
            registered,
            ground.foundation.clone(),
            (image, ground.secrets.clone()),
            ground.database.clone(),
            ground.certificate.clone(),
            after,
        );
        releases.insert(name.clone(), graph.add(apps::release(config, region), needs));
    }
    let accesses = grounds.iter().map(|(name, ground)| ((*name).clone(), ground.access.clone())).collect();
    Plan { graph, releases, accesses }
}

/// A region's stacks, its cluster's door and add-ons, its secrets.
fn ground(
    graph: &mut Graph,
    config: &Config,
    region: &Region,
    foundations: &BTreeMap<&RegionName, Handle<fact::Foundation>>,
    preflight: &Handle<fact::Preflight>,
) -> Ground {
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

    let mut addons = After::default();
    let wanted = |name: &&String| *name != helm_deps::ARGO_CD && *name != helm_deps::FIRST;
    let needs = (access.clone(), foundation.clone(), After::default());
    let first = graph.add(helm_deps::addon(config, region, helm_deps::FIRST), needs);
    addons = addons.step(&first);
    for name in config.addons.keys().filter(wanted) {
        let needs = (access.clone(), foundation.clone(), After::default().step(&first));
        addons = addons.step(&graph.add(helm_deps::addon(config, region, name), needs));
    }
    Ground { foundation, certificate, database, access, addons, secrets }
}
