//! Argo CD's credentials for Git.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::{
    aws,
    step::{Error, ErrorExt, Result},
};

/// A repository's credentials under Argo CD's own keys: `username` and `password`, `sshPrivateKey`, ….
/// <https://argo-cd.readthedocs.io/en/stable/operator-manual/declarative-setup/#repositories>
pub(super) type Credentials = BTreeMap<String, SecretString>;

/// Reads the credentials from a secret in Secrets Manager.
pub(super) async fn credentials(config: &aws_config::SdkConfig, secret: &str) -> Result<Credentials> {
    let client = aws_sdk_secretsmanager::Client::new(config);
    let doing = || format!("read the credentials for Git from secret `{secret}`");
    let found = client.get_secret_value().secret_id(secret).send().await.map_err(aws::classify);
    let found = found
        .doing(doing())
        .hint("set `gitops.credentials` in paydeploy.toml to a secret in the hub's region")?;
    parse(found.secret_string().unwrap_or_default()).doing(doing())
}

fn parse(text: &str) -> Result<Credentials> {
    // serde's error is dropped, because it would quote a part of the secret.
    let entries: BTreeMap<String, String> = serde_json::from_str(text)
        .map_err(|_| Error::permanent("not a JSON object of strings, such as `username` and `password`"))?;
    Ok(entries.into_iter().map(|(key, value)| (key, value.into())).collect())
}

/// The name of the repository Secret.
pub(super) fn name(project: &str) -> String {
    format!("repository-{project}")
}

/// The Secret that registers the repository with Argo CD.
pub(super) fn repository(project: &str, namespace: &str, url: &str, credentials: &Credentials) -> Value {
    let encoded = |text: &str| Value::from(BASE64_STANDARD.encode(text));
    let mut data: serde_json::Map<String, Value> =
        credentials.iter().map(|(key, value)| (key.clone(), encoded(value.expose_secret()))).collect();
    data.insert("type".to_owned(), encoded("git"));
    data.insert("url".to_owned(), encoded(url));
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name(project),
            "namespace": namespace,
            "labels": { "argocd.argoproj.io/secret-type": "repository" },
        },
        "data": data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_become_a_repository_secret() {
        let credentials = parse(r#"{ "username": "bot", "password": "p" }"#).unwrap();
        let secret = repository("payments", "argocd", "https://git.example/x.git", &credentials);
        assert_eq!(secret["metadata"]["labels"]["argocd.argoproj.io/secret-type"], "repository");
        assert_eq!(secret["data"]["password"], BASE64_STANDARD.encode("p"));
        assert_eq!(secret["data"]["url"], BASE64_STANDARD.encode("https://git.example/x.git"));
    }

    #[test]
    fn an_error_does_not_reveal_the_secrets_content() {
        let error = parse(r#"{ "password": "hunter2" "#).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
