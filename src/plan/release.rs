//! The steps from a region's base to its release: image, Argo CD's access, registration, release.

use std::collections::BTreeMap;

use super::{
    Shape, fact,
    needs::{GrantNeeds, RegisterNeeds, ReleaseNeeds},
    region::RegionBase,
};
use crate::{
    config::{Config, Region},
    engine::{After, Graph, Handle},
    phase::{apps, argocd, docker},
    step::RegionName,
};

/// The releases of all regions, added in the order of `[rollout]`.
pub(super) struct Releases<'a> {
    pub config: &'a Config,
    pub shape: &'a Shape,
    pub preflight: Handle<fact::Preflight>,
    pub hub_access: Handle<fact::Access>,
    pub built: Handle<fact::Built>,
    pub argo_cd: Handle<fact::ArgoCd>,
    pub manifests: Handle<()>,
    /// The last release that was added in order: the next ordered one waits for it.
    pub previous: Option<Handle<fact::Release>>,
    pub added: BTreeMap<RegionName, Handle<fact::Release>>,
}

impl Releases<'_> {
    /// Adds the steps of one region, after those of the regions before it.
    pub fn add(&mut self, graph: &mut Graph, region: &Region, base: &RegionBase) {
        let image =
            graph.add(docker::region(self.config, region), (self.built.clone(), base.foundation.clone()));
        let registered = self.register(graph, region, base);
        let ordered = self.shape.in_order.contains(&region.name);
        let mut after = base.addons.clone().step(&self.manifests);
        if let Some(previous) = self.previous.as_ref().filter(|_| ordered) {
            after = after.step(previous);
        }
        let needs = ReleaseNeeds {
            access: base.access.clone(),
            hub_access: self.hub_access.clone(),
            preflight: self.preflight.clone(),
            registered,
            foundation: base.foundation.clone(),
            image,
            secrets: base.secrets.clone(),
            database: base.database.clone(),
            certificate: base.certificate.clone(),
            after,
        };
        let release = graph.add(apps::release(self.config, region), needs);
        if ordered {
            self.previous = Some(release.clone());
        }
        self.added.insert(region.name.clone(), release);
    }

    fn register(&self, graph: &mut Graph, region: &Region, base: &RegionBase) -> Handle<fact::Registered> {
        let granted = graph.add(
            argocd::access(self.config, region),
            GrantNeeds {
                access: base.access.clone(),
                hub_access: self.hub_access.clone(),
                after: After::default().step(&self.argo_cd),
            },
        );
        let needs = RegisterNeeds {
            access: base.access.clone(),
            hub_access: self.hub_access.clone(),
            granted,
            argo_cd: self.argo_cd.clone(),
            after: After::default(),
        };
        graph.add(argocd::register(self.config, region), needs)
    }
}
