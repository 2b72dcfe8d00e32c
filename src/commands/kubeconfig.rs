//! `--merge-kubeconfig`: the regions' contexts in the operator's own kubeconfig.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{Exit, Failure};
use crate::kubernetes::kubeconfig;

#[derive(Debug, Clone, Args)]
pub struct Merge {
    /// Also write the regions' contexts to this kubeconfig (default: the first file of `$KUBECONFIG`, else
    /// `~/.kube/config`)
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "")]
    merge_kubeconfig: Option<PathBuf>,
}

impl Merge {
    /// Merges `.paydeploy/kubeconfig` into the requested file, if any.
    pub fn run(&self, state: &Path) -> Result<(), Failure> {
        let Some(given) = &self.merge_kubeconfig else { return Ok(()) };
        let target = if given.as_os_str().is_empty() {
            default_file(std::env::var_os("KUBECONFIG"), std::env::home_dir())?
        } else {
            given.clone()
        };
        let ours = fs::read_to_string(kubeconfig::path(state))?;
        kubeconfig::change(&target, |file| file.merge(&ours))
            .map_err(|error| Failure::of_step(Exit::Failed, error))?;
        eprintln!("wrote the contexts to `{}`", target.display());
        Ok(())
    }
}

/// The file that `kubectl config` writes to: the first of `$KUBECONFIG`, else the one in the home folder.
fn default_file(variable: Option<std::ffi::OsString>, home: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let first =
        variable.and_then(|files| std::env::split_paths(&files).find(|file| !file.as_os_str().is_empty()));
    first.or_else(|| Some(home?.join(".kube/config"))).ok_or_else(|| {
        Failure::new(Exit::Usage, "no default kubeconfig: neither $KUBECONFIG nor a home folder is set")
            .fix("name the file: --merge-kubeconfig FILE")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_file_is_the_one_that_kubectl_writes() {
        let home = || Some(PathBuf::from("/home/a"));
        assert_eq!(default_file(Some("/one:/two".into()), home()).unwrap(), PathBuf::from("/one"));
        assert_eq!(default_file(Some("".into()), home()).unwrap(), PathBuf::from("/home/a/.kube/config"));
        assert_eq!(default_file(None, None).unwrap_err().exit, Exit::Usage);
    }
}
