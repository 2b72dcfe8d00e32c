//! The values of a configuration, checked against each other and against the files that they name.

mod addons;
mod gitops;
mod regions;

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use url::Url;

use super::{Config, Image, Preflight, Terraform, problem::Problem, raw, shape::KeyLines, text};
use crate::task::is_name;

/// AWS's own page that returns its visitor's address as plain text.
const EGRESS: &str = "https://checkip.amazonaws.com";
const DNS_PORT: u16 = 53;

/// Checks a file.
///
/// # Errors
/// With `problems` and all that are found here, in the order of their lines.
pub(super) fn file(
    file: raw::File,
    root: &Path,
    lines: KeyLines,
    problems: Vec<Problem>,
) -> Result<Config, Vec<Problem>> {
    let mut check = Check { root, lines, problems };
    let config = check.file(file);
    check.problems.sort_by_key(|problem| problem.line);
    if check.problems.is_empty() { Ok(config) } else { Err(check.problems) }
}

/// Collects problems instead of stopping at the first: the configuration that it returns is only used without
/// any.
struct Check<'a> {
    root: &'a Path,
    lines: KeyLines,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn problem(&mut self, key: &str, message: impl Into<String>, fix: impl Into<String>) {
        let line = self.lines.line(key);
        let (message, fix) = (message.into(), Some(fix.into()));
        self.problems.push(Problem { line, key: key.to_owned(), message, fix });
    }

    fn path(&mut self, key: &str, given: &str, directory: bool) -> PathBuf {
        let path = self.root.join(given);
        let exists = if directory { path.is_dir() } else { path.is_file() };
        if !exists {
            let kind = if directory { "folder" } else { "file" };
            self.problem(
                key,
                format!("no {kind} `{}`", path.display()),
                format!("create the {kind}, or correct the path, which is relative to paydeploy.toml"),
            );
        }
        path
    }

    fn file(&mut self, file: raw::File) -> Config {
        if !is_name(&file.project, 3..=26) {
            self.problem(
                "project",
                format!("`{}` is not a valid project name: buckets are named after it", file.project),
                "use 3 to 26 lower-case letters, digits and single hyphens, starting with a letter",
            );
        }
        if file.account.len() != 12 || !file.account.bytes().all(|byte| byte.is_ascii_digit()) {
            self.problem(
                "account",
                format!("`{}` is not a valid AWS account ID", file.account),
                "use the 12 digits that `aws sts get-caller-identity` prints as `Account`",
            );
        }
        let stacks = self.path("terraform.stacks", &file.terraform.stacks, true);
        for stack in crate::config::stack::ALL {
            if stacks.is_dir() && !stacks.join(stack).is_dir() {
                self.problem(
                    "terraform.stacks",
                    format!("`{}` has no folder `{stack}`", stacks.display()),
                    "use a folder with the root modules `foundation`, `cluster`, `database` and `audit`",
                );
            }
        }
        let image = self.image(file.image, &file.project);
        let preflight = self.preflight(file.preflight);
        let addons = self.addons(file.addons);
        let gitops = self.gitops(file.gitops, &file.project, &addons);
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
                format!(
                    "`{}` does not exist: Terraform names the registries after the project",
                    image.repository
                ),
                format!("use `{project}`"),
            );
        }
        let context = self.path("image.context", &image.context, true);
        if context.is_dir() && !context.join(&image.dockerfile).is_file() {
            let path = context.join(&image.dockerfile);
            self.problem(
                "image.dockerfile",
                format!("no file `{}`", path.display()),
                "correct the path, which is relative to `image.context`",
            );
        }
        if let Some(network) =
            image.network.as_deref().filter(|name| !["default", "host", "none"].contains(name))
        {
            self.problem(
                "image.network",
                format!("`{network}` is not a network for builds"),
                "use `default`, `host` or `none`",
            );
        }
        Image {
            context,
            dockerfile: image.dockerfile.into(),
            repository: image.repository,
            build_args: image.build_args,
            network: image.network,
        }
    }

    fn preflight(&mut self, preflight: raw::Preflight) -> Preflight {
        let egress = match preflight.egress.as_deref().unwrap_or(EGRESS) {
            "off" => None,
            page => match Url::parse(page) {
                Ok(_) if text::has_login(page) => {
                    self.problem(
                        "preflight.egress",
                        "the URL contains a login, which would appear in logs",
                        format!("use a page that needs none, such as `{EGRESS}`"),
                    );
                    None
                }
                Ok(page) if ["http", "https"].contains(&page.scheme()) => Some(page),
                _ => {
                    self.problem(
                        "preflight.egress",
                        format!("`{page}` is not a web page's URL"),
                        format!("use a URL such as `{EGRESS}`, or `off`"),
                    );
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
                self.problem(
                    "preflight.name_servers",
                    format!("`{given}` is not a valid IP address, with or without a port"),
                    "use addresses such as `1.1.1.1` or `[::1]:5353`",
                );
            }
        }
        Preflight { egress, name_servers }
    }
}
