//! The AWS configuration of a child: the user's settings without the user's credentials.

use std::{env, ffi::OsString, fmt::Write as _, fs, path::PathBuf};

use super::PROFILE;

/// The settings of a profile that say how AWS is called, and not as whom.
const KEPT: [&str; 15] = [
    "ca_bundle",
    "ec2_metadata_service_endpoint",
    "endpoint_url",
    "ignore_configured_endpoint_urls",
    "max_attempts",
    "request_checksum_calculation",
    "response_checksum_validation",
    "retry_mode",
    "s3",
    "s3_us_east_1_regional_endpoint",
    "services",
    "sigv4a_signing_region_set",
    "sts_regional_endpoints",
    "use_dualstack_endpoint",
    "use_fips_endpoint",
];

/// The configuration, in which credentials come from a command.
pub(super) fn of_a_child(command: &str, variable: impl Fn(&str) -> Option<OsString>) -> String {
    let (kept, services) = of_the_user(variable);
    format!("[profile {PROFILE}]\ncredential_process = {command}\n{kept}{services}")
}

/// Whether the user has chosen a setting, in the environment or in the profile in use.
pub(crate) fn user_sets(variable: &str, setting: &str) -> bool {
    let (kept, _) = of_the_user(|name| env::var_os(name));
    let names = |line: &str| line.split_once('=').is_some_and(|(key, _)| key.trim() == setting);
    env::var_os(variable).is_some() || kept.lines().any(names)
}

/// The settings of the profile in use that a child keeps, and their section of services.
fn of_the_user(variable: impl Fn(&str) -> Option<OsString>) -> (String, String) {
    let file = config_file(&variable, "AWS_CONFIG_FILE", ".aws/config");
    // What cannot be read the SDK of this run has already done without.
    let users = file.and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default();
    let profile = variable("AWS_PROFILE").and_then(|name| name.into_string().ok());
    kept(&users, profile.as_deref().unwrap_or("default"))
}

/// A file of AWS's tools: the one that a variable names, in which `~` is the home folder, or the usual one.
pub(in crate::aws) fn config_file(
    variable: impl Fn(&str) -> Option<OsString>,
    name: &str,
    usual: &str,
) -> Option<PathBuf> {
    let home = || variable("HOME").map(PathBuf::from);
    match variable(name).map(PathBuf::from) {
        Some(file) => match file.strip_prefix("~") {
            Ok(below) => Some(home()?.join(below)),
            Err(_) => Some(file),
        },
        None => Some(home()?.join(usual)),
    }
}

/// The settings of a profile that a child keeps, and the section of services that they name.
fn kept(users: &str, profile: &str) -> (String, String) {
    let named = |section: &str| section == format!("profile {profile}") || section == profile;
    let (mut kept, mut services) = (String::new(), None);
    let mut keeps = false;
    for line in lines_of(users, named) {
        // A nested setting belongs to the one above.
        if !line.starts_with([' ', '\t']) {
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            keeps = KEPT.contains(&key.trim());
            if key.trim() == "services" {
                services = Some(format!("services {}", value.trim()));
            }
        }
        if keeps {
            let _ = writeln!(kept, "{line}");
        }
    }
    let section = services.map(|services| {
        lines_of(users, |section| section == services)
            .fold(format!("[{services}]\n"), |text, line| format!("{text}{line}\n"))
    });
    (kept, section.unwrap_or_default())
}

/// The lines of the sections with a name, without comments.
fn lines_of(text: &str, is_named: impl Fn(&str) -> bool) -> impl Iterator<Item = &str> {
    let mut is_in = false;
    text.lines().filter(move |line| {
        let section = line.trim().strip_prefix('[').and_then(|rest| rest.split_once(']'));
        if let Some((name, _)) = section {
            let words: Vec<&str> = name.split_whitespace().collect();
            is_in = is_named(&words.join(" "));
            return false;
        }
        is_in && !line.trim().is_empty() && !line.trim().starts_with(['#', ';'])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "\
[default]
region = eu-south-2
[ profile   payments ] # of the platform team
sso_session = company
aws_secret_access_key = a-secret
role_arn = arn:aws:iam::123456789012:role/deployer
ca_bundle = /etc/company.pem
s3 =
  addressing_style = path
credential_process = /opt/login
  aws_session_token = a-secret
services = lab
[services lab]
eks =
  endpoint_url = https://eks.lab
[services other]
eks =
  endpoint_url = https://eks.other
";

    #[test]
    fn a_child_keeps_how_aws_is_called_and_not_as_whom() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        fs::write(&file, USERS).unwrap();
        let variable = |name: &str| match name {
            "AWS_CONFIG_FILE" => Some(file.clone().into_os_string()),
            "AWS_PROFILE" => Some("payments".into()),
            _ => None,
        };
        let expected = "\
[profile paydeploy]
credential_process = /proc/7/exe __credentials paydeploy-7
ca_bundle = /etc/company.pem
s3 =
  addressing_style = path
services = lab
[services lab]
eks =
  endpoint_url = https://eks.lab
";
        assert_eq!(of_a_child("/proc/7/exe __credentials paydeploy-7", variable), expected);
    }

    #[test]
    fn without_a_configuration_of_the_user_only_the_command_remains() {
        assert_eq!(of_a_child("x", |_| None), "[profile paydeploy]\ncredential_process = x\n");
    }
}
