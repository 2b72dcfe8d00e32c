//! The Git repository that Argo CD reads, and the application's namespace.

use std::collections::BTreeMap;

use url::Url;

use super::Check;
use crate::{
    config::{Addon, Gitops, raw, text},
    task::is_name,
};

/// The port that Terraform's security group lets the clusters' nodes reach outside their VPC.
const EGRESS_PORT: u16 = 443;

impl Check<'_> {
    pub(super) fn gitops(
        &mut self,
        gitops: raw::Gitops,
        project: &str,
        addons: &BTreeMap<String, Addon>,
    ) -> Gitops {
        let manifests = gitops.manifests.as_deref().unwrap_or("gitops/argocd");
        let manifests = self.path("gitops.manifests", manifests, true);
        self.path("gitops.chart", &gitops.chart, true);
        let namespace = gitops.namespace.unwrap_or_else(|| project.to_owned());
        if !is_name(&namespace, 1..=63) {
            self.problem(
                "gitops.namespace",
                format!("`{namespace}` is not a valid namespace"),
                "use up to 63 lower-case letters, digits and single hyphens, starting with a letter",
            );
        }
        if let Some(owner) = owner_of(&namespace, addons) {
            // Argo CD may do anything in the application's namespace, and `down` deletes the namespace.
            self.problem(
                "gitops.namespace",
                format!("`{namespace}` is reserved for {owner}"),
                "set `gitops.namespace` to a namespace that only the application uses",
            );
        }
        if let Some((message, fix)) = bad_remote(&gitops.repository) {
            self.problem("gitops.repository", message, fix);
        }
        Gitops {
            repository: gitops.repository,
            chart: gitops.chart.into(),
            manifests,
            namespace,
            credentials: gitops.credentials,
        }
    }
}

/// What a namespace belongs to, if the application must not have it.
fn owner_of(namespace: &str, addons: &BTreeMap<String, Addon>) -> Option<String> {
    if namespace.starts_with("kube-") || namespace == "default" {
        return Some("Kubernetes".to_owned());
    }
    // Argo CD's and External Secrets' namespaces are among these: both add-ons are required and cannot be moved.
    let (name, _) = addons.iter().find(|(_, addon)| addon.namespace == namespace)?;
    Some(format!("the add-on `{name}`"))
}

/// Why a Git remote is refused, and the fix. Both preflight (`git ls-remote`, on this machine) and Argo CD
/// (in the hub) must be able to read it.
fn bad_remote(remote: &str) -> Option<(String, String)> {
    // This comes first because the other messages repeat the URL.
    if text::has_login(remote) {
        let fix = "remove it: Argo CD gets its login from the secret that `gitops.credentials` names, and you \
                   get yours from git's credential helper";
        return Some(("the URL contains a login, which would appear in logs".to_owned(), fix.to_owned()));
    }
    let https = "use the repository's `https://` URL";
    if let Some(helper) = remote_helper(remote) {
        let message = format!("`{helper}` is a Git remote helper: it runs a program, and Argo CD has none");
        return Some((message, https.to_owned()));
    }
    let Some((scheme, _)) = remote.split_once("://") else {
        let is_scp = remote.split_once(':').is_some_and(|(host, _)| !host.contains('/'));
        return Some(if is_scp {
            unreachable_port(remote, 22)
        } else {
            (unreadable(remote), https.to_owned())
        });
    };
    let Some(usual_port) = text::git_port(scheme) else {
        return Some((unreadable(remote), https.to_owned()));
    };
    match Url::parse(remote) {
        Ok(url) if url.has_host() => {
            let port = url.port().unwrap_or(usual_port);
            // Terraform opens the nodes to a server at a private address.
            let opened = text::private_git_server(remote).is_some();
            (port != EGRESS_PORT && !opened).then(|| unreachable_port(remote, port))
        }
        _ => Some((unreadable(remote), https.to_owned())),
    }
}

fn unreadable(remote: &str) -> String {
    format!("`{remote}` is not the URL of a Git repository that Argo CD can read")
}

fn unreachable_port(remote: &str, port: u16) -> (String, String) {
    let message = format!(
        "`{remote}` uses port {port}, which the clusters' nodes cannot reach: their security group allows {EGRESS_PORT} only"
    );
    let fix = format!(
        "use the repository's `https://` URL, or SSH on port {EGRESS_PORT}, such as \
         `ssh://git@ssh.github.com:{EGRESS_PORT}/OWNER/NAME.git`"
    );
    (message, fix)
}

/// The helper that git would run for a remote of the form `HELPER::ADDRESS`. The colons of an IPv6 address
/// are not preceded by a plain word.
fn remote_helper(remote: &str) -> Option<&str> {
    let (helper, _) = remote.split_once("::")?;
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_+.".contains(&byte);
    (!helper.is_empty() && helper.bytes().all(is_word)).then_some(helper)
}

#[cfg(test)]
mod tests {
    use super::bad_remote;

    #[test]
    fn remotes_that_argo_cd_can_reach_are_accepted() {
        for good in [
            "https://git.example/payments.git",
            "https://[2001:db8::1]/payments.git",
            "ssh://git@ssh.github.com:443/owner/payments.git",
            "git://10.0.0.1/payments.git",
            "ssh://git@192.168.7.5/payments.git",
        ] {
            assert_eq!(bad_remote(good), None, "{good}");
        }
    }

    #[test]
    fn every_other_remote_is_refused() {
        for bad in [
            "ext::sh -c date",
            "git://git.example/payments.git",
            "http://git.example/payments.git",
            "https://git.example:8443/payments.git",
            "codecommit::eu-south-2://payments",
            "s3://bucket/payments",
            "file:///srv/payments.git",
            "../payments.git",
            "git@github.com:owner/payments.git",
            "ssh://git@github.com/owner/payments.git",
            "ssh://git@github.com:22/owner/payments.git",
            "ssh://git@203.0.113.5/payments.git",
            "git@192.168.7.5:payments.git",
            "--upload-pack=date",
            "https://",
            "",
        ] {
            assert!(bad_remote(bad).is_some(), "{bad}");
        }
    }
}
