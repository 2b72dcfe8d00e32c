//! Our contexts in the user's own kubeconfig, on request.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{Exit, Failure};
use crate::{kubernetes::kubeconfig, step::Error};

#[derive(Debug, Clone, Args)]
pub struct Merge {
    /// Also put the regions' contexts into this kubeconfig; into `$KUBECONFIG` or `~/.kube/config` if no
    /// FILE is given
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "")]
    merge_kubeconfig: Option<PathBuf>,
}

impl Merge {
    /// Merges what `.paydeploy/kubeconfig` holds, if that was asked for.
    pub fn run(&self, state: &Path) -> Result<(), Failure> {
        let Some(given) = &self.merge_kubeconfig else { return Ok(()) };
        let usual = || usual(std::env::var_os("KUBECONFIG"), std::env::home_dir());
        let target = if given.as_os_str().is_empty() { usual()? } else { given.clone() };
        let failed = |error: Error| Failure { exit: Exit::Failed, error: error.source, hint: error.hint };
        let ours = fs::read_to_string(kubeconfig::path(state))?;
        kubeconfig::change(&target, |file| file.merge(&ours)).map_err(failed)?;
        eprintln!("contexts are in `{}`", target.display());
        Ok(())
    }
}

/// The file that kubectl writes to: the first of `$KUBECONFIG`, or the one in the home folder.
fn usual(variable: Option<std::ffi::OsString>, home: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let first =
        variable.and_then(|files| std::env::split_paths(&files).find(|file| !file.as_os_str().is_empty()));
    first.or_else(|| Some(home?.join(".kube/config"))).ok_or_else(|| {
        Failure::new(Exit::Usage, "there is no home folder to look for a kubeconfig in").hint("name the FILE")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_the_one_that_kubectl_would_write() {
        let home = || Some(PathBuf::from("/home/a"));
        assert_eq!(usual(Some("/one:/two".into()), home()).unwrap(), PathBuf::from("/one"));
        assert_eq!(usual(Some("".into()), home()).unwrap(), PathBuf::from("/home/a/.kube/config"));
        assert_eq!(usual(None, None).unwrap_err().exit, Exit::Usage);
    }
}
