//! From a file to a checked configuration.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use serde::Deserialize as _;
use toml::{
    Spanned,
    de::{DeTable, DeValue, Deserializer},
};
use url::Url;

use super::{
    Addon, Config, Gitops, Image, Preflight, Region, Role, Terraform, network,
    problem::{Problem, Problems, line_of},
    raw,
    shape::{self, Places, Shape},
    text,
};
use crate::task::{RegionName, is_name};

/// AWS's own page that tells its visitors their address.
const EGRESS: &str = "https://checkip.amazonaws.com";
const DNS_PORT: u16 = 53;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(
        "no `paydeploy.toml` in `{0}` or any folder above it: run paydeploy beside one, or name it with `--config FILE`"
    )]
    Missing(PathBuf),
    #[error("failed to read `{0}`")]
    Read(PathBuf, #[source] std::io::Error),
    #[error(transparent)]
    Problems(#[from] Problems),
}

/// The closest `paydeploy.toml` in a folder or above it.
pub fn find(from: &Path) -> Result<PathBuf, LoadError> {
    from.ancestors()
        .map(|folder| folder.join("paydeploy.toml"))
        .find(|file| file.is_file())
        .ok_or_else(|| LoadError::Missing(from.to_owned()))
}

/// Reads and checks a configuration.
///
/// # Errors
/// With all problems of the file together.
pub fn load(file: &Path) -> Result<Config, LoadError> {
    let text = std::fs::read_to_string(file).map_err(|error| LoadError::Read(file.to_owned(), error))?;
    let root = match file.parent() {
        Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
        Some(folder) => folder.to_owned(),
        None => PathBuf::from("."),
    };
    let root = std::path::absolute(&root).unwrap_or(root);
    parse(&text, &root).map_err(|problems| Problems { file: file.to_owned(), problems }.into())
}

/// A text as a configuration whose paths are relative to `root`.
///
/// # Errors
/// With all problems, in the order of their lines.
pub fn parse(text: &str, root: &Path) -> Result<Config, Vec<Problem>> {
    let (mut document, syntax) = DeTable::parse_recoverable(text);
    if !syntax.is_empty() {
        let told = |error: toml::de::Error| Problem {
            line: line_of(text, &error.span().unwrap_or_default()),
            key: String::new(),
            message: error.message().to_owned(),
        };
        return Err(syntax.into_iter().map(told).collect());
    }
    let Shape { mut problems, unknown, places } = shape::check(text, &document, &raw::schema());
    problems.sort_by_key(|problem| problem.line);
    // where nothing is wrong but keys that nobody knows, what the others say is looked at as well
    if problems.len() > unknown.len() {
        return Err(problems);
    }
    for key in &unknown {
        forget(document.get_mut(), key);
    }
    let file = match raw::File::deserialize(Deserializer::from(document)) {
        Ok(file) => file,
        Err(_) if !problems.is_empty() => return Err(problems),
        Err(error) => {
            let line = line_of(text, &error.span().unwrap_or_default());
            return Err(vec![Problem { line, key: String::new(), message: error.message().to_owned() }]);
        }
    };
    let mut check = Check { root, places, problems };
    let config = check.file(file);
    check.problems.sort_by_key(|problem| problem.line);
    if check.problems.is_empty() { Ok(config) } else { Err(check.problems) }
}

/// Takes a key out of a document.
fn forget(table: &mut DeTable<'_>, key: &str) {
    match key.split_once('.') {
        None => drop(table.remove(key)),
        Some((name, rest)) => {
            if let Some(DeValue::Table(inner)) = table.get_mut(name).map(Spanned::get_mut) {
                forget(inner, rest);
            }
        }
    }
}

struct Check<'a> {
    root: &'a Path,
    places: Places,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn problem(&mut self, key: &str, message: impl Into<String>) {
        let line = self.places.line(key);
        self.problems.push(Problem { line, key: key.to_owned(), message: message.into() });
    }

    fn path(&mut self, key: &str, given: &str, directory: bool) -> PathBuf {
        let path = self.root.join(given);
        let there = if directory { path.is_dir() } else { path.is_file() };
        if !there {
            let kind = if directory { "folder" } else { "file" };
            self.problem(key, format!("there is no {kind} `{}`", path.display()));
        }
        path
    }

    fn file(&mut self, file: raw::File) -> Config {
        if !is_name(&file.project, 3..=26) {
            self.problem(
                "project",
                "use 3 to 26 lower-case letters, digits and single hyphens, a letter first: buckets are named after it",
            );
        }
        if file.account.len() != 12 || !file.account.bytes().all(|byte| byte.is_ascii_digit()) {
            self.problem("account", "an AWS account has 12 digits");
        }
        let stacks = self.path("terraform.stacks", &file.terraform.stacks, true);
        for stack in ["foundation", "cluster", "database", "audit"] {
            if stacks.is_dir() && !stacks.join(stack).is_dir() {
                self.problem("terraform.stacks", format!("`{}` has no stack `{stack}`", stacks.display()));
            }
        }
        let image = self.image(file.image, &file.project);
        let gitops = self.gitops(file.gitops, &file.project);
        let preflight = self.preflight(file.preflight);
        let addons = self.addons(file.addons);
        let regions = self.regions(file.regions);
        let rollout = self.rollout(file.rollout, &regions);
        Config {
            root: self.root.to_owned(),
            project: file.project,
            account: file.account,
            profile: file.profile,
            terraform: Terraform { stacks },
            image,
            gitops,
            preflight,
            rollout,
            addons,
            regions,
        }
    }

    fn image(&mut self, image: raw::Image, project: &str) -> Image {
        if image.repository != project {
            self.problem(
                "image.repository",
                format!("use `{project}`: Terraform names the registries after the project"),
            );
        }
        let context = self.path("image.context", &image.context, true);
        if context.is_dir() && !context.join(&image.dockerfile).is_file() {
            let path = context.join(&image.dockerfile);
            self.problem("image.dockerfile", format!("there is no file `{}`", path.display()));
        }
        if let Some(network) =
            image.network.as_deref().filter(|name| !["default", "host", "none"].contains(name))
        {
            self.problem("image.network", format!("`{network}` is not one of `default`, `host`, `none`"));
        }
        Image {
            context,
            dockerfile: image.dockerfile.into(),
            repository: image.repository,
            build_args: image.build_args,
            network: image.network,
        }
    }

    fn gitops(&mut self, gitops: raw::Gitops, project: &str) -> Gitops {
        let manifests = gitops.manifests.as_deref().unwrap_or("gitops/argocd");
        let manifests = self.path("gitops.manifests", manifests, true);
        self.path("gitops.chart", &gitops.chart, true);
        let namespace = gitops.namespace.unwrap_or_else(|| project.to_owned());
        if !is_name(&namespace, 1..=63) {
            self.problem(
                "gitops.namespace",
                "use a DNS label: lower-case letters, digits and single hyphens",
            );
        }
        if text::has_login(&gitops.repository) {
            self.problem(
                "gitops.repository",
                "leave the login out, for this is told everywhere: Argo CD's comes from the secret that \
                 `gitops.credentials` names, yours from git's credential helper",
            );
        }
        Gitops {
            repository: gitops.repository,
            chart: gitops.chart.into(),
            manifests,
            namespace,
            credentials: gitops.credentials,
        }
    }

    fn preflight(&mut self, preflight: raw::Preflight) -> Preflight {
        let egress = match preflight.egress.as_deref().unwrap_or(EGRESS) {
            "off" => None,
            page => match Url::parse(page) {
                Ok(page) if ["http", "https"].contains(&page.scheme()) => Some(page),
                _ => {
                    self.problem("preflight.egress", "give a page's `https://` address, or `off`");
                    None
                }
            },
        };
        let mut name_servers = Vec::new();
        for given in preflight.name_servers {
            let alone = given.parse().map(|address: IpAddr| SocketAddr::new(address, DNS_PORT));
            if let Ok(server) = given.parse().or(alone) {
                name_servers.push(server);
            } else {
                let message = format!("`{given}` is no IP address, with or without a port");
                self.problem("preflight.name_servers", message);
            }
        }
        Preflight { egress, name_servers }
    }

    fn addons(&mut self, addons: BTreeMap<String, raw::Addon>) -> BTreeMap<String, Addon> {
        let mut checked = BTreeMap::new();
        for (name, addon) in addons {
            let key = format!("addons.{name}");
            if !text::is_exact(&addon.version) {
                self.problem(&format!("{key}.version"), "give an exact version, such as `1.2.3`");
            }
            let values = addon.values.map(|values| self.path(&format!("{key}.values"), &values, false));
            let local = !addon.chart.contains("://");
            let chart =
                if local { self.root.join(&addon.chart).display().to_string() } else { addon.chart.clone() };
            if local && !Path::new(&chart).exists() {
                self.problem(&format!("{key}.chart"), format!("there is no chart `{chart}`"));
            }
            let namespace = addon.namespace.unwrap_or_else(|| usual_namespace(&name).to_owned());
            let usual = usual_namespace(&name);
            if BOUND.contains(&name.as_str()) && namespace != usual {
                self.problem(
                    &format!("{key}.namespace"),
                    format!(
                        "leave it out: the add-on's IAM role trusts its service account in `{usual}` only"
                    ),
                );
            }
            checked.insert(name, Addon { chart, version: addon.version, values, namespace });
        }
        for needed in ["aws-load-balancer-controller", "external-secrets", "argo-cd"] {
            if !checked.contains_key(needed) {
                self.problem(
                    "addons",
                    format!("`[addons.{needed}]` is missing: the application can't run without it"),
                );
            }
        }
        checked
    }

    fn regions(&mut self, regions: BTreeMap<String, raw::Region>) -> BTreeMap<RegionName, Region> {
        let mut checked: BTreeMap<RegionName, Region> = BTreeMap::new();
        if regions.is_empty() {
            self.problem("regions", "give at least one region, as in `[regions.spain]`");
        }
        for (name, region) in regions {
            let key = format!("regions.{name}");
            let name: RegionName = match name.parse() {
                Ok(name) => name,
                Err(error) => {
                    self.problem(&key, format!("{error}"));
                    continue;
                }
            };
            if !text::good_aws_region(&region.aws_region) {
                self.problem(&format!("{key}.aws_region"), "no AWS region is named so, e.g. `eu-south-2`");
            }
            if let Some(twin) = checked.values().find(|other| other.aws_region == region.aws_region) {
                let message = format!("`{}` is in `{}` already", twin.name, twin.aws_region);
                self.problem(&format!("{key}.aws_region"), message);
            }
            if !text::good_domain(&region.domain) {
                self.problem(
                    &format!("{key}.domain"),
                    "give the full host name in lower case, such as `api-es.payments.example`: 64 characters at most",
                );
            }
            let var_file = self.path(&format!("{key}.var_file"), &region.var_file, false);
            let variables = network::Variables::read(&var_file).unwrap_or_else(|error| {
                if var_file.is_file() {
                    self.problem(&format!("{key}.var_file"), error.to_string());
                }
                network::Variables::default()
            });
            let (aws_region, role, domain) = (region.aws_region, region.role, region.domain);
            let network::Variables {
                vpc_cidr,
                hosted_zone_name: hosted_zone,
                cluster_endpoint_public_access_cidrs: admitted,
            } = variables;
            if let Some(zone) = hosted_zone.as_deref().filter(|zone| !domain.ends_with(&format!(".{zone}"))) {
                let message = format!("`{domain}` is not below `{zone}`, the region's `hosted_zone_name`");
                self.problem(&format!("{key}.domain"), message);
            }
            checked.insert(
                name.clone(),
                Region { name, aws_region, role, var_file, domain, vpc_cidr, hosted_zone, admitted },
            );
        }
        self.one_hub(&checked);
        for (one, other) in network::overlaps(checked.values()) {
            let message = format!(
                "the network {} of `{}` overlaps {} of `{}`: give each region its own",
                one.vpc_cidr.as_deref().unwrap_or_default(),
                one.name,
                other.vpc_cidr.as_deref().unwrap_or_default(),
                other.name
            );
            self.problem(&format!("regions.{}.var_file", one.name), message);
        }
        checked
    }

    fn one_hub(&mut self, regions: &BTreeMap<RegionName, Region>) {
        let hubs: Vec<&Region> = regions.values().filter(|region| region.role == Role::Hub).collect();
        match hubs.as_slice() {
            [] if !regions.is_empty() => {
                self.problem("regions", "no region has the role `hub`: Argo CD needs one");
            }
            [_, more @ ..] => {
                for hub in more {
                    let message = format!("`{}` is the hub already; there is one hub", hubs[0].name);
                    self.problem(&format!("regions.{}.role", hub.name), message);
                }
            }
            [] => {}
        }
    }

    fn rollout(
        &mut self,
        rollout: Option<raw::Rollout>,
        regions: &BTreeMap<RegionName, Region>,
    ) -> Vec<RegionName> {
        let Some(rollout) = rollout else {
            // the hub first, then by name
            let mut all: Vec<&Region> = regions.values().collect();
            all.sort_by_key(|region| (region.role != Role::Hub, region.name.clone()));
            return all.into_iter().map(|region| region.name.clone()).collect();
        };
        let mut order = Vec::new();
        for name in rollout.order {
            match regions.keys().find(|known| known.as_str() == name) {
                Some(known) if order.contains(known) => {
                    self.problem("rollout.order", format!("`{name}` is named twice"));
                }
                Some(known) => order.push(known.clone()),
                None => self.problem("rollout.order", format!("there is no `[regions.{name}]`")),
            }
        }
        for missing in regions.keys().filter(|name| !order.contains(name)) {
            self.problem("rollout.order", format!("`{missing}` is missing: every region has its turn"));
        }
        order
    }
}

/// The add-ons whose IAM role names their namespace.
const BOUND: [&str; 4] = ["aws-load-balancer-controller", "external-secrets", "external-dns", "argo-cd"];

/// Where an add-on's own documentation installs it.
fn usual_namespace(addon: &str) -> &str {
    match addon {
        "aws-load-balancer-controller" | "metrics-server" | "prometheus-operator-crds" => "kube-system",
        "argo-cd" => "argocd",
        other => other,
    }
}
