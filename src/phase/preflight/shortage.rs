//! Compares what a region's stacks need with what AWS offers there. Pure.

use std::{collections::BTreeMap, fmt::Display};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::{
    need::{Cluster, Database, Need, Nodes},
    offer::Offer,
};
use crate::{
    aws::{
        offers::{Feature, InstanceType, Orderable, Support, Zone, major},
        quotas::{Quota, Used, is_standard},
    },
    config::major_and_minor,
    step::Error,
};

/// From this long before the end of a version's standard support, its end is a warning. EKS itself notifies accounts 60
/// days before it (https://docs.aws.amazon.com/eks/latest/userguide/kubernetes-versions.html).
const NOTICE: SignedDuration = SignedDuration::from_hours(60 * 24);

/// Where a need comes from, for messages.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub region: &'a str,
    pub aws_region: &'a str,
    /// The region's variable file, relative to the repository.
    pub file: &'a str,
}

/// What a comparison found.
#[derive(Debug, Default)]
pub struct Found {
    pub shortages: Vec<Error>,
    /// Texts with their fixes, of what the run may continue with.
    pub warnings: Vec<(String, String)>,
}

/// The zones that do not offer something, as a text; `None` if all of them do.
fn zones_without(zones: &[&Zone], offers: impl Fn(&Zone) -> bool) -> Option<String> {
    let without = zones.iter().filter(|zone| !offers(zone));
    let without: Vec<String> = without.map(|zone| format!("{} ({})", zone.id, zone.name)).collect();
    (!without.is_empty()).then(|| without.join(" and "))
}

/// Everything that the region lacks.
pub fn compare(need: &Need, offer: &Offer, place: Place<'_>, now: Timestamp) -> Found {
    let mut found = Comparison { place, now, found: Found::default() };
    let zones = found.zones(need, offer);
    found.quotas(need, offer);
    found.endpoints(need, offer, &zones);
    if let Some(types) = &offer.types {
        for nodes in &need.nodes {
            found.nodes(nodes, types, &zones);
        }
    }
    if let Some(cluster) = &need.cluster {
        found.kubernetes(cluster, offer);
        found.addons(cluster, offer);
    }
    if let Some(database) = &need.database {
        found.postgres(database, offer);
        found.class(database, offer, &zones);
    }
    found.found
}

struct Comparison<'a> {
    place: Place<'a>,
    now: Timestamp,
    found: Found,
}

impl Comparison<'_> {
    fn lacks(&mut self, what: impl Display, fix: impl Into<String>) {
        let message = format!("region `{}`: {what}", self.place.region);
        self.found.shortages.push(Error::permanent(message).with_hint(fix));
    }

    fn warns(&mut self, what: impl Display, fix: impl Into<String>) {
        self.found.warnings.push((format!("region `{}`: {what}", self.place.region), fix.into()));
    }

    /// The variable of the region's file that decides something.
    fn set(&self, variable: &str) -> String {
        format!("`{variable}` in `{}`", self.place.file)
    }

    /// The zones that the network will span, as `stacks/foundation` chooses them: the first by name.
    fn zones<'o>(&mut self, need: &Need, offer: &'o Offer) -> Vec<&'o Zone> {
        let (Some(wanted), Some(zones)) = (&need.zones, &offer.zones) else { return Vec::new() };
        let mut usable: Vec<&Zone> =
            zones.iter().filter(|zone| !wanted.excluded.contains(&zone.id)).collect();
        let (count, usable_count) = (wanted.count, usable.len() as u64);
        if usable_count < count {
            let aws_region = self.place.aws_region;
            let message = format!(
                "`{aws_region}` has {usable_count} availability zones that EKS supports; {count} are needed"
            );
            self.lacks(message, format!("choose another `aws_region` for [regions.{}]", self.place.region));
        }
        usable.sort_by(|one, other| one.name.cmp(&other.name));
        usable.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        usable
    }

    fn quotas(&mut self, need: &Need, offer: &Offer) {
        for (quota, limit) in &offer.limits {
            let (needed, used, what) = match quota {
                Quota::Addresses => {
                    (need.addresses, offer.addresses, "Elastic IP addresses (one per NAT gateway)")
                }
                Quota::Vpcs => (need.vpcs, offer.vpcs, "VPCs"),
                Quota::Vcpus => (
                    vcpus(need, offer),
                    running_vcpus(offer),
                    "vCPUs (with all nodes of standard types and a rolling update)",
                ),
            };
            let Some(used) = used else { continue };
            let others = used.all.saturating_sub(used.ours);
            if needed == 0 || needed + others <= *limit {
                continue;
            }
            let alternative = match quota {
                // With a single NAT gateway already, there is nothing to save.
                Quota::Addresses if needed > 1 => {
                    format!(", or set {}", self.set("single_nat_gateway = true"))
                }
                Quota::Vcpus => {
                    let variables = need.nodes.iter().map(|nodes| format!("`{}`", nodes.variable));
                    let variables = variables.collect::<Vec<_>>().join(" or ");
                    let file = self.place.file;
                    format!(
                        ", or choose a smaller `max` or smaller instance types for {variables} in `{file}`"
                    )
                }
                _ => String::new(),
            };
            let (aws_region, (service, code)) = (self.place.aws_region, quota.codes());
            let message = format!(
                "not enough {what}: {needed} needed, {others} in use by others, `{aws_region}` allows {limit}"
            );
            let fix = format!(
                "request a higher quota, which takes hours to days: `aws service-quotas \
                 request-service-quota-increase --region {aws_region} --service-code {service} --quota-code \
                 {code} --desired-value {}`{alternative}",
                needed + others
            );
            // The need is that of a rolling update with all nodes. A cluster that runs needs it only then, and must not
            // be kept from a release.
            if *quota == Quota::Vcpus && offer.deployed.cluster.is_some() {
                self.warns(message, fix);
            } else {
                self.lacks(message, fix);
            }
        }
    }

    /// An interface endpoint gets a network interface in each zone of the network. Services of others are not compared.
    fn endpoints(&mut self, need: &Need, offer: &Offer, zones: &[&Zone]) {
        let Some(offered) = &offer.endpoints else { return };
        let aws_region = self.place.aws_region;
        let prefix = format!("com.amazonaws.{aws_region}.");
        let mut lacking = Vec::new();
        let mut others = Vec::new();
        for (service, name) in need.endpoints.iter().filter_map(|one| Some((one, one.strip_prefix(&prefix)?)))
        {
            let place = match offered.get(service) {
                _ if offer.deployed.endpoints.contains(service) => None,
                None => Some(format!("`{aws_region}`")),
                Some(known) => zones_without(zones, |zone| known.contains(&zone.name)),
            };
            match place {
                None => others.push(format!("\"{name}\"")),
                Some(place) => lacking.push((name, place)),
            }
        }
        for (name, place) in lacking {
            let fix = format!(
                "set {}, so that `{name}` is reached through NAT",
                self.set(&format!("interface_endpoints = [{}]", others.join(", ")))
            );
            self.lacks(format!("a VPC endpoint for `{name}` is not offered in {place}"), fix);
        }
    }

    fn nodes(&mut self, nodes: &Nodes, types: &BTreeMap<String, InstanceType>, zones: &[&Zone]) {
        let Nodes { variable, types: wanted, architecture, .. } = nodes;
        let aws_region = self.place.aws_region;
        let listed = wanted.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let fix = format!(
            "choose other `instance_types` for {}; `aws ec2 describe-instance-type-offerings --region {aws_region} \
             --location-type availability-zone-id` lists what each zone offers",
            self.set(variable)
        );
        let offered: Vec<&InstanceType> = wanted.iter().filter_map(|name| types.get(name)).collect();
        if offered.iter().all(|kind| kind.zones.is_empty()) {
            return self.lacks(format!("`{aws_region}` does not offer {listed} (`{variable}`)"), fix);
        }
        let other = |kind: &&InstanceType| !kind.architectures.iter().any(|one| one == architecture);
        if offered.iter().any(other) {
            return self
                .lacks(format!("not every type of {listed} (`{variable}`) is an {architecture} type"), fix);
        }
        let offers = |zone: &Zone| offered.iter().any(|kind| kind.zones.contains(&zone.id));
        if let Some(without) = zones_without(zones, offers) {
            self.lacks(format!("{listed} (`{variable}`) is not offered in {without}"), fix);
        }
    }

    fn kubernetes(&mut self, cluster: &Cluster, offer: &Offer) {
        let (version, variable) = (&cluster.version, self.set("kubernetes_version"));
        if let Some(deployed) = offer.deployed.cluster.as_ref().filter(|deployed| is_newer(deployed, version))
        {
            // By hand, or by EKS itself when the configured version's support ended.
            return self.lacks(
                format!("the cluster runs Kubernetes {deployed}, but {version} is configured: EKS cannot downgrade"),
                format!("set {variable} to \"{deployed}\", and `addon_versions` to match it"),
            );
        }
        let Some(offered) = &offer.kubernetes else { return };
        let aws_region = self.place.aws_region;
        let Some(support) = offered.get(version) else {
            if offer.deployed.cluster.as_ref() != Some(version) {
                let all = offered.keys().cloned().collect::<Vec<_>>().join(", ");
                self.lacks(
                    format!("EKS in `{aws_region}` does not offer Kubernetes {version}, only {all}"),
                    format!("set {variable} to one of them, and `addon_versions` to match it"),
                );
            }
            return;
        };
        let newer = format!("set {variable} to a newer version, and `addon_versions` to match it");
        let Some(ended) = ended(support, self.now) else { return self.ends_soon(cluster, support, &newer) };
        let ended = format!("standard support of Kubernetes {version} ended on {ended}");
        let keep = self.set("cluster_support_type = \"EXTENDED\"");
        // https://aws.amazon.com/eks/pricing
        let price = "0.60 instead of 0.10 USD per hour";
        match cluster.support_type.as_deref() {
            Some("EXTENDED") => {}
            Some(_) => self.warns(
                format!("{ended}: EKS upgrades such a cluster by itself, and may refuse to create it"),
                format!("{newer}; or pay {price} to keep it{}: {keep}", until(support)),
            ),
            None => self.warns(
                format!("{ended}: AWS charges {price} for the cluster in extended support{}", until(support)),
                format!("{newer}; or accept the price: {keep}"),
            ),
        }
    }

    /// Warns before EKS upgrades the control plane by itself, while the operator can still choose the moment.
    fn ends_soon(&mut self, cluster: &Cluster, support: &Support, newer: &str) {
        let Some(end) = support.standard.filter(|end| end.duration_since(self.now) < NOTICE) else { return };
        if cluster.support_type.as_deref() == Some("EXTENDED") {
            return;
        }
        self.warns(
            format!("standard support of Kubernetes {} ends on {}", cluster.version, day(end)),
            format!(
                "before that day, {newer}: EKS then upgrades the cluster by itself, or charges for extended support"
            ),
        );
    }

    fn addons(&mut self, cluster: &Cluster, offer: &Offer) {
        let Some(offered) = &offer.addons else { return };
        // Without the Kubernetes version there is no version of any add-on, and the version itself is reported.
        if offer.kubernetes.as_ref().is_some_and(|versions| !versions.contains_key(&cluster.version)) {
            return;
        }
        let kubernetes = &cluster.version;
        for (addon, version) in &cluster.addons {
            let versions = offered.get(addon).map(Vec::as_slice).unwrap_or_default();
            if versions.contains(version) || offer.deployed.addons.get(addon) == Some(version) {
                continue;
            }
            let instead = versions
                .first()
                .map_or_else(String::new, |default| format!(" to {default}, the default, or"));
            self.lacks(
                format!("EKS does not offer the add-on `{addon}` {version} for Kubernetes {kubernetes}"),
                format!(
                    "set its version in {}{instead} to one that `aws eks describe-addon-versions --region {} \
                     --kubernetes-version {kubernetes} --addon-name {addon}` lists",
                    self.set("addon_versions"),
                    self.place.aws_region
                ),
            );
        }
    }

    fn postgres(&mut self, database: &Database, offer: &Offer) {
        let Some(offered) = &offer.postgres else { return };
        let (version, variable) = (&database.version, self.set("db_engine_version"));
        let Some(support) = offered.get(major(version)) else { return };
        let Some(ended) = ended(support, self.now) else { return };
        // https://aws.amazon.com/rds/postgresql/pricing
        self.warns(
            format!(
                "standard support of PostgreSQL {version} ended on {ended}: AWS charges 0.10 USD and more per vCPU and \
                 hour in extended support{}",
                until(support)
            ),
            format!("set {variable} to a newer version"),
        );
    }

    fn class(&mut self, database: &Database, offer: &Offer, zones: &[&Zone]) {
        let Database { class, version, multi_az, features, .. } = database;
        let wanted = (class.clone(), major(version).to_owned());
        let Some(orderable) = &offer.orderable else { return };
        if offer.deployed.database.as_ref() == Some(&wanted) {
            return;
        }
        let aws_region = self.place.aws_region;
        let fix = format!(
            "choose another {}; `aws rds describe-orderable-db-instance-options --region {aws_region} --engine postgres` \
             lists the combinations",
            self.set("db_instance_class")
        );
        if orderable.is_empty() {
            return self.lacks(format!("RDS in `{aws_region}` does not offer `{class}` for PostgreSQL"), fix);
        }
        let of_version =
            |option: &&Orderable| option.version == *version || major(&option.version) == version;
        let options: Vec<&Orderable> = orderable.iter().filter(of_version).collect();
        if options.is_empty() {
            let message = format!("RDS in `{aws_region}` does not offer `{class}` with PostgreSQL {version}");
            return self.lacks(message, format!("{fix}; or another {}", self.set("db_engine_version")));
        }
        for feature in features {
            if !options.iter().any(|option| option.features.contains(feature)) {
                let feature = name(*feature);
                self.lacks(
                    format!("`{class}` with PostgreSQL {version} does not support {feature}"),
                    fix.clone(),
                );
            }
        }
        let enough = if *multi_az { 2 } else { 1 };
        let usable =
            |option: &&Orderable| zones.iter().filter(|zone| option.zones.contains(&zone.name)).count();
        let most =
            options.iter().filter(|option| option.multi_az || !multi_az).map(usable).max().unwrap_or(0);
        if !zones.is_empty() && most < enough {
            let names = zones.iter().map(|zone| zone.name.as_str()).collect::<Vec<_>>().join(", ");
            let message =
                format!("`{class}` is offered in {most} of the zones {names}; the database needs {enough}");
            self.lacks(message, fix);
        }
    }
}

/// The vCPUs of all node groups at their peak. Each may use the largest of its types.
fn vcpus(need: &Need, offer: &Offer) -> u64 {
    let Some(types) = &offer.types else { return 0 };
    let largest = |nodes: &Nodes| {
        let standard = nodes.types.iter().filter(|name| is_standard(name));
        standard.filter_map(|name| Some(types.get(name)?.vcpus)).max().unwrap_or(0)
    };
    need.nodes.iter().map(|nodes| nodes.peak * largest(nodes)).sum()
}

fn running_vcpus(offer: &Offer) -> Option<Used> {
    let (instances, types) = (offer.instances.as_ref()?, offer.types.as_ref()?);
    let standard = instances.iter().filter(|(name, _)| is_standard(name));
    Some(standard.fold(Used::default(), |sum, (name, used)| {
        let vcpus = types.get(name).map_or(0, |kind| kind.vcpus);
        Used { all: sum.all + used.all * vcpus, ours: sum.ours + used.ours * vcpus }
    }))
}

/// Whether one version is newer than another. What is not a version is not compared.
fn is_newer(one: &str, other: &str) -> bool {
    matches!((major_and_minor(one), major_and_minor(other)), (Some(one), Some(other)) if one > other)
}

/// The day on which standard support ended; `None` while it lasts.
fn ended(support: &Support, now: Timestamp) -> Option<String> {
    support.standard.filter(|end| *end < now).map(day)
}

fn until(support: &Support) -> String {
    support.extended.map_or_else(String::new, |end| format!(" until {}", day(end)))
}

fn day(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).date().to_string()
}

fn name(feature: Feature) -> &'static str {
    match feature {
        Feature::EnhancedMonitoring => "Enhanced Monitoring",
        Feature::IamAuthentication => "IAM authentication",
        Feature::PerformanceInsights => "Performance Insights",
    }
}

#[cfg(test)]
mod tests;
