//! The programs on PATH: where they are, and whether their version is supported.

use std::{
    ffi::OsStr,
    fmt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use super::environment;

/// The first version that locks its state with an object in the bucket (`use_lockfile`).
const TERRAFORM: Version = Version(1, 10, 0);
/// The first version whose `--wait` behaves like that of Helm 4.
const HELM: Version = Version(3, 14, 0);

/// How long a program may take to print its version. A cold start from a network disk takes seconds.
const VERSION_TIMEOUT: Duration = Duration::from_secs(20);

/// The programs that steps run, found once. One that is not on PATH is kept as its bare name and fails to
/// start.
#[derive(Debug, Clone, Default)]
pub struct Tools {
    pub terraform: PathBuf,
    pub helm: PathBuf,
    pub git: PathBuf,
}

/// A program that is missing or too old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    pub problem: String,
    pub fix: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Version {
    /// Parses `1.11.4`, `v4.0.1` and `2.39.5 (vendor)`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches('v');
        let numbers: &str = text.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
        let mut numbers = numbers.split('.').map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(Self(next()?, next()?, next().unwrap_or(0)))
    }
}

impl Tools {
    /// Searches a PATH; runs nothing.
    pub fn on_path(path: &OsStr) -> Self {
        let find = |name: &str| {
            std::env::split_paths(path)
                .map(|folder| folder.join(name))
                .find(|program| is_program(program))
                .unwrap_or_else(|| name.into())
        };
        Self { terraform: find("terraform"), helm: find("helm"), git: find("git") }
    }

    /// Runs each program for its version, and returns those that are missing or too old.
    pub async fn unfit(&self) -> Vec<Unfit> {
        let (terraform, helm, git) = tokio::join!(
            version(&self.terraform, &["version", "-json"], terraform_version),
            version(&self.helm, &["version", "--template", "{{.Version}}"], Version::parse),
            version(&self.git, &["version"], |output| Version::parse(
                output.trim_start_matches("git version ")
            )),
        );
        let unfit = [
            judge(
                "terraform",
                terraform,
                Some(TERRAFORM),
                "https://developer.hashicorp.com/terraform/install",
            ),
            judge("helm", helm, Some(HELM), "https://helm.sh/docs/intro/install"),
            judge("git", git, None, "https://git-scm.com/downloads"),
        ];
        unfit.into_iter().flatten().collect()
    }
}

/// Whether a program can be started, by its path or by its bare name.
pub(super) fn is_on_path(program: &Path) -> bool {
    if program.components().count() > 1 {
        return is_program(program);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| is_program(&folder.join(program)))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// A program's version; `Err` has the reason if there is none, to be read after the program's name.
async fn version(
    program: &Path,
    args: &[&str],
    read: impl Fn(&str) -> Option<Version>,
) -> Result<Version, String> {
    if !is_program(program) {
        return Err("is not on PATH".to_owned());
    }
    let child = tokio::process::Command::new(program)
        .args(args)
        .env_clear()
        .envs(environment::chosen(std::env::vars_os()))
        // Otherwise Terraform asks the internet for a newer version.
        .env("CHECKPOINT_DISABLE", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match tokio::time::timeout(VERSION_TIMEOUT, child).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(format!("cannot be run: {error}")),
        Err(_) => return Err(format!("did not print its version within {} s", VERSION_TIMEOUT.as_secs())),
    };
    read(&String::from_utf8_lossy(&output.stdout))
        .ok_or_else(|| format!("prints no version with `{}`", args.join(" ")))
}

fn terraform_version(output: &str) -> Option<Version> {
    let output: serde_json::Value = serde_json::from_str(output).ok()?;
    Version::parse(output.get("terraform_version")?.as_str()?)
}

fn judge(name: &str, found: Result<Version, String>, least: Option<Version>, source: &str) -> Option<Unfit> {
    let wanted = least.map_or(name.to_owned(), |least| format!("{name} {least} or later"));
    let problem = match (found, least) {
        (Err(why), _) => format!("`{name}` {why}"),
        (Ok(version), Some(least)) if version < least => format!("`{name}` {version} is too old"),
        _ => return None,
    };
    Some(Unfit { problem, fix: format!("install {wanted}: {source}") })
}

#[cfg(test)]
mod tests {
    use super::{HELM, Tools, Version, judge, terraform_version};

    #[test]
    fn versions_are_read_as_the_tools_print_them() {
        assert_eq!(
            terraform_version(r#"{"terraform_version": "1.11.4", "new": []}"#),
            Some(Version(1, 11, 4))
        );
        assert_eq!(Version::parse("v4.0.0-rc.1+g1234"), Some(Version(4, 0, 0)));
        assert_eq!(Version::parse("2.39.5 (Apple Git-154)\n"), Some(Version(2, 39, 5)));
        assert_eq!(Version::parse("2.39"), Some(Version(2, 39, 0)));
        assert_eq!(Version::parse("unknown"), None);
    }

    #[test]
    fn a_tool_that_is_too_old_is_reported_with_the_fix() {
        let unfit = judge("helm", Ok(Version(3, 13, 9)), Some(HELM), "https://x").unwrap();
        assert_eq!(unfit.problem, "`helm` 3.13.9 is too old");
        assert_eq!(unfit.fix, "install helm 3.14.0 or later: https://x");
        assert_eq!(judge("helm", Ok(Version(4, 0, 0)), Some(HELM), ""), None);
    }

    #[tokio::test]
    async fn all_tools_missing_from_path_are_reported_together() {
        let dir = tempfile::tempdir().unwrap();
        let problems = Tools::on_path(dir.path().as_os_str()).unfit().await;
        let problems: Vec<&str> = problems.iter().map(|unfit| unfit.problem.as_str()).collect();
        assert_eq!(problems, ["`terraform` is not on PATH", "`helm` is not on PATH", "`git` is not on PATH"]);
    }
}
