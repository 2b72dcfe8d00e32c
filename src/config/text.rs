//! Whether a user's text has the right form.

use std::net::Ipv4Addr;

use url::Url;

/// Whether a text has the form of an AWS region's code. The preflight checks that the region exists.
pub fn good_aws_region(name: &str) -> bool {
    let pieces: Vec<&str> = name.split('-').collect();
    pieces.len() >= 3
        && pieces.iter().all(|piece| !piece.is_empty())
        && pieces.last().is_some_and(|number| number.parse::<u8>().is_ok())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Whether a URL contains a password or token. The user of an SSH URL (`git@`) is not a secret; over HTTP a
/// user's name may be a token.
pub fn has_login(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    url.password().is_some() || (url.scheme().starts_with("http") && !url.username().is_empty())
}

/// The private IPv4 address and the port of a Git server that does not listen on 443: a server in the team's own
/// network. For schemes other than the web's, the `url` crate keeps an address as a name.
pub fn private_git_server(remote: &str) -> Option<(Ipv4Addr, u16)> {
    let url = Url::parse(remote).ok()?;
    let address = url.host_str()?.parse::<Ipv4Addr>().ok().filter(Ipv4Addr::is_private)?;
    let port = url.port().or_else(|| git_port(url.scheme()))?;
    (port != 443).then_some((address, port))
}

/// The usual port of a URL's scheme, of those that git and Argo CD know.
pub fn git_port(scheme: &str) -> Option<u16> {
    match scheme {
        "https" => Some(443),
        "http" => Some(80),
        "git" => Some(9418),
        "ssh" => Some(22),
        _ => None,
    }
}

/// Whether a version is a full `1.2.3`, with or without a leading `v` and a suffix. To Helm a shorter one is
/// a range.
pub fn is_exact(version: &str) -> bool {
    let numbers = version.strip_prefix('v').unwrap_or(version).split(['-', '+']).next().unwrap_or_default();
    let pieces: Vec<&str> = numbers.split('.').collect();
    pieces.len() == 3 && pieces.iter().all(|piece| piece.parse::<u32>().is_ok())
}

/// Whether a version is at least a major and minor one. True for a text that is not a version, which has its own
/// message.
pub fn is_at_least(version: &str, least: (u32, u32)) -> bool {
    major_and_minor(version).is_none_or(|version| version >= least)
}

/// The major and minor number of a version, with or without a leading `v`; `None` if it does not start with both.
pub fn major_and_minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.trim_start_matches('v').split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Whether a text is a host name in lower case that ACM accepts as a certificate's domain: 64 characters at
/// most.
pub fn good_domain(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    name.len() <= 64 && name.contains('.') && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::{good_domain, has_login, is_at_least, is_exact, private_git_server};

    #[test]
    fn a_private_git_server_is_named_by_address_and_port() {
        let of = |remote: &str| private_git_server(remote).map(|(address, port)| format!("{address} {port}"));
        assert_eq!(of("git://10.0.0.1/x.git").unwrap(), "10.0.0.1 9418");
        assert_eq!(of("ssh://git@192.168.7.5/x.git").unwrap(), "192.168.7.5 22");
        assert_eq!(of("https://10.0.0.1:8443/x.git").unwrap(), "10.0.0.1 8443");
        for open in ["https://10.0.0.1/x.git", "ssh://git@203.0.113.5/x.git", "ssh://git@git.example/x.git"] {
            assert_eq!(of(open), None, "{open}");
        }
    }

    #[test]
    fn only_a_full_version_is_exact() {
        assert!(["1.2.3", "v1.2.3", "1.2.3-rc.1", "1.2.3+build.7"].into_iter().all(is_exact));
        assert!(!["1.2", "1.x.3", "latest", "", "1.2.3.4", "^1.2.3"].into_iter().any(is_exact));
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for new in ["0.16.0", "v0.20.4", "1.2.0", "0.16.0-rc1", "latest"] {
            assert!(is_at_least(new, (0, 16)), "{new}");
        }
        assert!(!["0.15.9", "v0.9.12"].into_iter().any(|old| is_at_least(old, (0, 16))));
    }

    #[test]
    fn a_domain_is_a_host_name_that_a_certificate_accepts() {
        assert!(good_domain("api-es.payments.example"));
        let long = format!("{}.example", "a".repeat(60));
        for bad in ["payments", "API.example", "-a.example", "a..example", "a.example.", long.as_str()] {
            assert!(!good_domain(bad), "{bad}");
        }
    }

    #[test]
    fn an_ssh_user_is_not_a_secret_but_a_token_is() {
        assert!(!has_login("https://git.example/x.git"));
        assert!(!has_login("ssh://git@git.example/x.git"));
        assert!(!has_login("git@git.example:x.git"));
        assert!(has_login("https://token@git.example/x.git"));
        assert!(has_login("ssh://git:pass@git.example/x.git"));
    }
}
