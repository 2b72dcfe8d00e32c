//! The proxy of a company's network, as the environment names it: `HTTPS_PROXY`, `ALL_PROXY`, and `NO_PROXY` for what is
//! reached without it. AWS's clients and those of registries read the same variables by the same rules.

use std::env;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

use crate::task::{Error, Result, causes};

/// The variables that name it, in the order in which they are read.
const NAMES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// The proxy through which a cluster is reached, with its user and password; `None` if it is reached directly.
///
/// # Errors
/// When the client of the clusters cannot use such a proxy.
pub fn of(url: &Uri) -> Result<Option<Uri>> {
    chosen(&Matcher::from_env(), url)
}

fn chosen(matcher: &Matcher, url: &Uri) -> Result<Option<Uri>> {
    let Some(found) = matcher.intercept(url) else { return Ok(None) };
    let mut proxy = Url::parse(&found.uri().to_string())?;
    // The client would verify a proxy's certificate by the cluster's authority, and let the proxy look up no name.
    if !matches!(proxy.scheme(), "http" | "socks5") {
        let message = format!("clusters cannot be reached through a proxy of the kind `{}`", proxy.scheme());
        return Err(Error::permanent(message).with_hint(
            "set HTTPS_PROXY to an `http://` or `socks5://` proxy, or list the cluster's host in NO_PROXY",
        ));
    }
    // The matcher keeps user and password apart, and the client expects them in the URL.
    let basic = found.basic_auth().and_then(|value| value.to_str().ok()?.strip_prefix("Basic "));
    let basic = basic.and_then(|text| String::from_utf8(BASE64_STANDARD.decode(text).ok()?).ok());
    let login = match (&basic, found.raw_auth()) {
        (Some(basic), _) => Some(basic.split_once(':').unwrap_or((basic, ""))),
        (None, raw) => raw,
    };
    if let Some((user, password)) = login {
        let is_set = proxy.set_username(user).and_then(|()| proxy.set_password(Some(password))).is_ok();
        debug_assert!(is_set, "a proxy has a host");
    }
    Ok(Some(proxy.as_str().parse()?))
}

/// What to do about an error, if a proxy has caused it.
pub fn hint(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    hint_for(error, |name| env::var(name).ok())
}

fn hint_for(
    error: &(dyn std::error::Error + 'static),
    variable: impl Fn(&str) -> Option<String>,
) -> Option<String> {
    // Of hyper, which all of these clients use. Its type is not public.
    let is_of_a_tunnel = |text: &String| text.starts_with("tunnel error: ");
    let cause = causes(error).map(ToString::to_string).find(is_of_a_tunnel)?;
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

    const CLUSTER: &str = "https://abc.gr7.eu-south-2.eks.amazonaws.com";

    fn of_setting(https: &str, url: &str) -> Result<Option<String>> {
        let matcher = Matcher::builder().https(https).no("10.0.0.0/8,.eks.internal").build();
        Ok(chosen(&matcher, &url.parse().unwrap())?.map(|proxy| proxy.to_string()))
    }

    fn proxy(url: &str) -> Option<String> {
        of_setting("http://ana:p%40ss@proxy.company.example:3128", url).unwrap()
    }

    #[test]
    fn a_cluster_is_reached_through_the_proxy_with_its_password_unless_no_proxy_lists_it() {
        assert_eq!(proxy(CLUSTER).unwrap(), "http://ana:p%40ss@proxy.company.example:3128/");
        assert_eq!(proxy("https://abc.eks.internal"), None);
        assert_eq!(proxy("https://10.1.2.3"), None);
        assert_eq!(proxy("http://abc.gr7.eu-south-2.eks.amazonaws.com"), None);
    }

    #[test]
    fn a_proxy_that_the_client_cannot_use_is_an_error_with_those_that_it_can() {
        let socks = of_setting("socks5://ana:secret@proxy.example:1080", CLUSTER).unwrap().unwrap();
        assert!(socks.starts_with("socks5://ana:secret@proxy.example:1080"), "{socks}");
        for kind in ["https", "socks5h", "socks4"] {
            let error = of_setting(&format!("{kind}://proxy.example:3129"), CLUSTER).unwrap_err();
            assert!(error.to_string().contains(kind) && error.hint.is_some(), "{error}");
        }
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
