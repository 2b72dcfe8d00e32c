//! Which of our own environment variables a child inherits.

use std::ffi::{OsStr, OsString};

/// The user's surroundings: locations of programs, home and temporary files, proxies, trusted certificates,
/// SSH. Any other variable (a `TF_VAR_…`, a `KUBECONFIG`) would make a run depend on the shell that started
/// it.
const NAMES: [&str; 20] = [
    "ALL_PROXY",
    "DOCKER_CONFIG",
    "GIT_SSH_COMMAND",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LANG",
    "LOGNAME",
    "NO_PROXY",
    "PATH",
    "SSH_AUTH_SOCK",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "TZ",
    "USER",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// Credentials and regions, locale, and the base directories that tools keep their configuration in.
const PREFIXES: [&str; 3] = ["AWS_", "LC_", "XDG_"];

pub(super) fn chosen(
    all: impl IntoIterator<Item = (OsString, OsString)>,
) -> impl Iterator<Item = (OsString, OsString)> {
    all.into_iter().filter(|(name, _)| is_chosen(name))
}

fn is_chosen(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::chosen;

    #[test]
    fn a_child_inherits_credentials_and_proxies_but_no_variables_that_steer_tools() {
        let all =
            ["AWS_PROFILE", "https_proxy", "PATH", "TF_VAR_role", "TF_CLI_ARGS", "KUBECONFIG", "HELM_DEBUG"];
        let seen: Vec<_> = chosen(all.map(|name| (name.into(), "x".into())))
            .map(|(name, _)| name.into_string().expect("these are plain names"))
            .collect();
        assert_eq!(seen, ["AWS_PROFILE", "https_proxy", "PATH"]);
    }
}
