//! The proxy of a company's network, as the environment names it: `HTTPS_PROXY`, `ALL_PROXY`, and `NO_PROXY` for what is
//! reached without it. AWS's clients and those of registries read the same variables by the same rules.

use std::{env, error::Error};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

/// The variables that name it, in the order in which they are read.
const NAMES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// The proxy through which a URL is reached, with its user and password; `None` if it is reached directly.
pub fn of(url: &Uri) -> Option<Uri> {
    chosen(&Matcher::from_env(), url)
}

fn chosen(matcher: &Matcher, url: &Uri) -> Option<Uri> {
    let found = matcher.intercept(url)?;
    let mut proxy = Url::parse(&found.uri().to_string()).ok()?;
    // The matcher keeps them apart, and kube expects them in the URL.
    let basic = found.basic_auth().and_then(|value| value.to_str().ok()?.strip_prefix("Basic "));
    if let Some(basic) = basic.and_then(|text| String::from_utf8(BASE64_STANDARD.decode(text).ok()?).ok()) {
        let (user, password) = basic.split_once(':').unwrap_or((&basic, ""));
        proxy.set_username(user).ok()?;
        proxy.set_password(Some(password)).ok()?;
    }
    proxy.as_str().parse().ok()
}

/// What to do about an error, if a proxy has caused it.
pub fn hint(error: &(dyn Error + 'static)) -> Option<String> {
    hint_for(error, |name| env::var(name).ok())
}

fn hint_for(error: &(dyn Error + 'static), variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let (mut cause, mut next) = (None, Some(error));
    while let Some(error) = next {
        // Of hyper, which all of these clients use. Its type is not public.
        cause = cause.or_else(|| Some(error.to_string()).filter(|text| text.starts_with("tunnel error: ")));
        next = error.source();
    }
    let cause = cause?;
    let (name, value) =
        NAMES.iter().find_map(|name| Some((*name, variable(name)?))).unwrap_or((NAMES[0], String::new()));
    let shown = without_password(&value);
    Some(if cause.ends_with("proxy authorization required") {
        format!("the proxy `{shown}` wants a user and a password: {name}=http://USER:PASSWORD@HOST:PORT")
    } else if cause.ends_with("failed to create underlying connection") {
        format!("the proxy `{shown}` does not answer: correct {name}, or list the host in NO_PROXY")
    } else {
        format!(
            "the proxy `{shown}` ({name}) does not let the connection through: let it admit the host, or list the host \
             in NO_PROXY"
        )
    })
}

fn without_password(proxy: &str) -> String {
    match proxy.rsplit_once('@') {
        Some((_, host)) => host.to_owned(),
        None => proxy.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(url: &str) -> Option<String> {
        let matcher = Matcher::builder()
            .https("http://ana:p%40ss@proxy.company.example:3128")
            .no("10.0.0.0/8,eks.internal")
            .build();
        chosen(&matcher, &url.parse().unwrap()).map(|proxy| proxy.to_string())
    }

    #[test]
    fn a_cluster_is_reached_through_the_proxy_with_its_password_unless_no_proxy_lists_it() {
        let cluster = "https://abc.gr7.eu-south-2.eks.amazonaws.com";
        assert_eq!(proxy(cluster).unwrap(), "http://ana:p%40ss@proxy.company.example:3128/");
        assert_eq!(proxy("https://abc.eks.internal"), None);
        assert_eq!(proxy("https://10.1.2.3"), None);
        assert_eq!(proxy("http://abc.gr7.eu-south-2.eks.amazonaws.com"), None);
    }

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Tunnel(&'static str);

    #[derive(Debug, thiserror::Error)]
    #[error("client error (Connect)")]
    struct Connect(#[source] Tunnel);

    #[test]
    fn what_a_proxy_has_caused_names_it_without_its_password() {
        let variable =
            |name: &str| (name == "https_proxy").then(|| "http://ana:secret@proxy.example:3128".to_owned());
        let hint = |text| hint_for(&Connect(Tunnel(text)), variable);
        let refused = hint("tunnel error: unsuccessful").unwrap();
        assert!(
            refused.starts_with("the proxy `proxy.example:3128` (https_proxy) does not let"),
            "{refused}"
        );
        assert!(hint("tunnel error: proxy authorization required").unwrap().contains("wants a user"));
        let dead = hint("tunnel error: failed to create underlying connection").unwrap();
        assert!(dead.contains("does not answer") && !dead.contains("secret"), "{dead}");
        assert_eq!(hint("connection refused"), None);
    }
}
