//! The regions: names, networks and domains of their own, one hub, and the order of a rollout.

use std::collections::BTreeMap;

use super::Check;
use crate::{
    config::{Region, Role, network, raw, text},
    task::RegionName,
};

impl Check<'_> {
    pub(super) fn regions(&mut self, regions: BTreeMap<String, raw::Region>) -> BTreeMap<RegionName, Region> {
        let mut checked: BTreeMap<RegionName, Region> = BTreeMap::new();
        if regions.is_empty() {
            self.problem("regions", "no region is configured", "add a table such as `[regions.spain]`");
        }
        for (name, region) in regions {
            let key = format!("regions.{name}");
            let Ok(name) = name.parse::<RegionName>() else {
                self.problem(
                    &key,
                    format!("`{name}` is not a valid region name"),
                    "use 1 to 16 lower-case letters, digits and single hyphens, starting with a letter",
                );
                continue;
            };
            self.location(&key, &region, &checked);
            self.domain(&key, &region, &checked);
            let var_file = self.path(&format!("{key}.var_file"), &region.var_file, false);
            let variables = network::Variables::read(&var_file).unwrap_or_else(|error| {
                // A missing file has been reported above.
                if var_file.is_file() {
                    self.problem(&format!("{key}.var_file"), error.to_string(), "correct that file");
                }
                network::Variables::default()
            });
            let (aws_region, role, domain) = (region.aws_region, region.role, region.domain);
            let data_tags = variables.data_tags();
            let network::Variables {
                vpc_cidr,
                hosted_zone_name: hosted_zone,
                cluster_endpoint_public_access_cidrs: admitted,
                ..
            } = variables;
            if let Some(zone) = hosted_zone.as_deref().filter(|zone| !domain.ends_with(&format!(".{zone}"))) {
                self.problem(
                    &format!("{key}.domain"),
                    format!("`{domain}` is not below `{zone}`, the region's `hosted_zone_name`"),
                    format!(
                        "use a name that ends in `.{zone}`, or correct `hosted_zone_name` in `{}`",
                        region.var_file
                    ),
                );
            }
            checked.insert(
                name.clone(),
                Region {
                    name,
                    aws_region,
                    role,
                    var_file,
                    domain,
                    vpc_cidr,
                    hosted_zone,
                    admitted,
                    data_tags,
                },
            );
        }
        self.one_hub(&checked);
        self.separate_networks(&checked);
        checked
    }

    /// Two regions in one AWS region would share the state bucket and the image repository.
    fn location(&mut self, key: &str, region: &raw::Region, others: &BTreeMap<RegionName, Region>) {
        let (key, aws_region) = (format!("{key}.aws_region"), &region.aws_region);
        if !text::good_aws_region(aws_region) {
            let message = format!("`{aws_region}` is not a valid AWS region");
            self.problem(&key, message, "use a region's code, such as `eu-south-2`");
        }
        if let Some(twin) = others.values().find(|other| other.aws_region == *aws_region) {
            let message = format!("`{}` is already in `{aws_region}`", twin.name);
            self.problem(&key, message, "give each region its own AWS region");
        }
    }

    /// Two regions with one domain would compete for the same DNS record.
    fn domain(&mut self, key: &str, region: &raw::Region, others: &BTreeMap<RegionName, Region>) {
        let (key, domain) = (format!("{key}.domain"), &region.domain);
        if !text::good_domain(domain) {
            self.problem(
                &key,
                format!("`{domain}` is not a valid host name for a certificate"),
                "use the full host name in lower case, such as `api-es.payments.example`: 64 characters at most",
            );
        }
        if let Some(twin) = others.values().find(|other| other.domain == *domain) {
            let message = format!("`{}` already uses `{domain}`", twin.name);
            self.problem(&key, message, "give each region its own host name");
        }
    }

    fn separate_networks(&mut self, regions: &BTreeMap<RegionName, Region>) {
        for (one, other) in network::overlaps(regions.values()) {
            let message = format!(
                "the network {} of `{}` overlaps {} of `{}`",
                one.vpc_cidr.as_deref().unwrap_or_default(),
                one.name,
                other.vpc_cidr.as_deref().unwrap_or_default(),
                other.name
            );
            let key = format!("regions.{}.var_file", one.name);
            self.problem(
                &key,
                message,
                "set `vpc_cidr` in one of their files to a network that no other region uses",
            );
        }
    }

    fn one_hub(&mut self, regions: &BTreeMap<RegionName, Region>) {
        let hubs: Vec<&Region> = regions.values().filter(|region| region.role == Role::Hub).collect();
        match hubs.as_slice() {
            [] if !regions.is_empty() => self.problem(
                "regions",
                "no region has the role `hub`: Argo CD needs one",
                "set `role = \"hub\"` in one region",
            ),
            [_, more @ ..] => {
                for hub in more {
                    let message = format!("`{}` is already the hub", hubs[0].name);
                    self.problem(
                        &format!("regions.{}.role", hub.name),
                        message,
                        "use `spoke`: there is exactly one hub",
                    );
                }
            }
            [] => {}
        }
    }

    pub(super) fn rollout(
        &mut self,
        rollout: Option<raw::Rollout>,
        regions: &BTreeMap<RegionName, Region>,
    ) -> Vec<RegionName> {
        let Some(rollout) = rollout else {
            // By default the hub comes first, because Argo CD runs there, and the others follow by name.
            let mut all: Vec<&Region> = regions.values().collect();
            all.sort_by_key(|region| (region.role != Role::Hub, region.name.clone()));
            return all.into_iter().map(|region| region.name.clone()).collect();
        };
        let mut order = Vec::new();
        let mut wrong = |message: String, fix: &str| self.problem("rollout.order", message, fix);
        for name in rollout.order {
            match regions.keys().find(|known| known.as_str() == name) {
                Some(known) if order.contains(known) => {
                    wrong(format!("`{name}` is listed twice"), "list every region once");
                }
                Some(known) => order.push(known.clone()),
                None => {
                    wrong(
                        format!("`{name}` is not a configured region"),
                        "remove it, or add its table under `regions`",
                    );
                }
            }
        }
        for missing in regions.keys().filter(|name| !order.contains(name)) {
            wrong(format!("`{missing}` is missing"), "list every region once");
        }
        order
    }
}
