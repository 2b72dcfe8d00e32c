//! Who started this process: a person, or a job of a forge.

use std::{env, fs};

/// The user's name, or the number of one without a name.
pub fn user() -> String {
    let user = env::var("USER").or_else(|_| env::var("LOGNAME"));
    user.unwrap_or_else(|_| {
        // Jobs in containers often have neither variable.
        let number = rustix::process::getuid().as_raw().to_string();
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        named(&users, &number).map_or(number, str::to_owned)
    })
}

/// The name of a user in the format of `/etc/passwd`.
fn named<'a>(users: &'a str, number: &str) -> Option<&'a str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then_some(name)
    })
}

/// The address of the job that runs this process, on GitHub or GitLab; elsewhere the user.
pub fn starter() -> String {
    job(|name| env::var(name).ok()).unwrap_or_else(user)
}

fn job(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    if let Some(job) = variable("CI_JOB_URL") {
        return Some(job);
    }
    let server = variable("GITHUB_SERVER_URL")?;
    Some(format!("{server}/{}/actions/runs/{}", variable("GITHUB_REPOSITORY")?, variable("GITHUB_RUN_ID")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_without_a_variable_is_known_by_its_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\nana:x:1000:1000::/home/ana:/bin/sh\n";
        assert_eq!((named(users, "1000"), named(users, "7")), (Some("ana"), None));
    }

    #[test]
    fn a_job_is_named_by_the_address_at_which_it_can_be_read() {
        let on = |variables: &'static [(&str, &str)]| {
            job(|name| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        let github = on(&[
            ("GITHUB_SERVER_URL", "https://github.com"),
            ("GITHUB_REPOSITORY", "acme/payments"),
            ("GITHUB_RUN_ID", "7"),
        ]);
        assert_eq!(github.unwrap(), "https://github.com/acme/payments/actions/runs/7");
        assert_eq!(
            on(&[("CI_JOB_URL", "https://gitlab.example/jobs/7")]).unwrap(),
            "https://gitlab.example/jobs/7"
        );
        assert_eq!(on(&[]), None);
    }
}
