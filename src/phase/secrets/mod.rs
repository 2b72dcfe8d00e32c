//! The phase `secrets`: fills the region's empty secrets, once.

mod value;

use std::time::Duration;

use aws_sdk_secretsmanager::{
    Client,
    operation::{describe_secret::DescribeSecretOutput, put_secret_value::PutSecretValueError},
};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use crate::{
    aws::{classify, is_missing},
    config::{Config, Region},
    fact,
    step::{Check, Class, Context, Error, ErrorExt, Phase, Result, Seen, State, Step, StepId},
};
use value::Kind;

/// The stage of the version that readers get.
const CURRENT: &str = "AWSCURRENT";
/// The summary of a step with nothing to do.
const FILLED: &str = "all secrets have values";

/// Stores a random value in each secret that has none. Never replaces a value, because that would be a rotation.
pub struct Secrets {
    region: Region,
}

/// The step that fills a region's secrets.
pub fn region(_config: &Config, region: &Region) -> Secrets {
    Secrets { region: region.clone() }
}

/// The state of one secret. No value is ever read.
#[derive(Debug)]
enum Content {
    /// It does not exist: the stack has not created it, or its recovery window has passed.
    Missing,
    /// Scheduled for deletion, and still restorable.
    Deleted,
    Empty,
    /// With the creation time of its value, if known.
    Filled(Option<Timestamp>),
}

/// A secret that needs a value.
#[derive(Debug)]
pub struct Fill {
    kind: Kind,
    arn: String,
    restore: bool,
}

impl Secrets {
    fn client(&self, cx: &Context) -> Client {
        Client::new(&cx.world.aws.in_region(&self.region.aws_region))
    }

    async fn contents(&self, cx: &Context, input: &fact::Foundation) -> Result<Vec<(Kind, String, Content)>> {
        let client = self.client(cx);
        let secrets = [
            (Kind::ApiKey, &input.api_secret_arn),
            (Kind::Login("app"), &input.db_app_secret_arn),
            (Kind::Login("migrator"), &input.db_migrator_secret_arn),
        ];
        let reads = secrets.map(|(kind, arn)| {
            let client = client.clone();
            async move { Ok((kind, arn.clone(), content(&client, arn).await?)) }
        });
        futures::future::try_join_all(reads).await
    }
}

impl Step for Secrets {
    type Input = fact::Foundation;
    type Fact = fact::Secrets;
    type Change = Vec<Fill>;

    fn id(&self) -> StepId {
        StepId::of(Phase::Secrets, &self.region.name)
    }

    fn estimate(&self) -> Duration {
        Duration::from_secs(3)
    }

    async fn read(&self, cx: &Context, input: &Self::Input) -> Result<Seen<Self::Fact>> {
        let contents = self.contents(cx, input).await?;
        let unfilled: Vec<String> = contents
            .iter()
            .filter_map(|(kind, _, content)| match content {
                Content::Filled(_) => None,
                Content::Missing => Some(format!("{kind}: missing")),
                Content::Deleted => Some(format!("{kind}: deleted")),
                Content::Empty => Some(format!("{kind}: empty")),
            })
            .collect();
        if unfilled.len() == contents.len() {
            return Ok(Seen::missing("no secret has a value"));
        }
        if !unfilled.is_empty() {
            return Ok(Seen { fact: None, state: State::Differs, detail: unfilled.join(", ") });
        }
        let oldest = contents.iter().filter_map(|(_, _, content)| match content {
            Content::Filled(since) => *since,
            _ => None,
        });
        let fact = fact::Secrets {
            api: input.api_secret_arn.clone(),
            db_app: input.db_app_secret_arn.clone(),
            db_migrator: input.db_migrator_secret_arn.clone(),
        };
        Ok(Seen::ok(fact, oldest.min().map_or(FILLED.to_owned(), |since| age(since, Timestamp::now()))))
    }

    async fn check(&self, cx: &Context, input: &Self::Input) -> Result<Check<Self::Change>> {
        let mut fills = Vec::new();
        for (kind, arn, content) in self.contents(cx, input).await? {
            match content {
                Content::Filled(_) => {}
                Content::Empty => fills.push(Fill { kind, arn, restore: false }),
                Content::Deleted => fills.push(Fill { kind, arn, restore: true }),
                Content::Missing => {
                    return Err(Error::msg(Class::Prerequisite, format!("secret `{arn}` is missing"))
                        .with_hint(
                            "run `paydeploy phase terraform`: its stack `foundation` creates the secret",
                        ));
                }
            }
        }
        if fills.is_empty() {
            return Ok(Check::Clean(FILLED.to_owned()));
        }
        let lines = fills.iter().map(|fill| format!("+ value of the {}", fill.kind)).collect();
        Ok(Check::Change { lines, change: fills })
    }

    async fn apply(&self, cx: &Context, _input: &Self::Input, change: Self::Change) -> Result<()> {
        let client = self.client(cx);
        for Fill { kind, arn, restore } in change {
            if restore {
                let restored = client.restore_secret().secret_id(&arn).send().await.map_err(classify);
                restored.doing(format!("restore secret `{arn}`"))?;
            }
            // A restored secret keeps its value.
            if restore {
                match content(&client, &arn).await? {
                    Content::Filled(_) => continue,
                    Content::Empty => {}
                    // Whether it has a value is not known before Secrets Manager shows that it is restored.
                    Content::Missing | Content::Deleted => {
                        return Err(Error::transient(format!(
                            "secret `{arn}` is restored, but not visible yet"
                        )));
                    }
                }
            }
            cx.progress(format!("creating the {kind}"));
            put_first(&client, kind, &arn).await.doing(format!("store the value of secret `{arn}`"))?;
        }
        Ok(())
    }

    /// Nothing to delete: the stack that created the secrets deletes them with their values.
    async fn destroy(&self, _cx: &Context, _input: Option<&Self::Input>) -> Result<Option<String>> {
        Ok(None)
    }
}

/// Stores the first value of a secret. Does nothing if it was stored before.
///
/// A read may show a secret as empty that has just got its value, from an attempt before this one or from another run. A
/// second value would lock out every client that has read the first, so the token is the same in all attempts and runs:
/// Secrets Manager accepts one value per token. A secret that is created again has another ARN.
async fn put_first(client: &Client, kind: Kind, arn: &str) -> Result<()> {
    let token = hex::encode(Sha256::digest(arn));
    let put = client.put_secret_value().secret_id(arn).client_request_token(token);
    match put.secret_string(kind.fresh().expose_secret()).send().await {
        Ok(_) => Ok(()),
        Err(error)
            if error.as_service_error().is_some_and(PutSecretValueError::is_resource_exists_exception) =>
        {
            Ok(())
        }
        Err(error) => Err(classify(error)),
    }
}

async fn content(client: &Client, arn: &str) -> Result<Content> {
    let described = match client.describe_secret().secret_id(arn).send().await {
        Ok(described) => described,
        Err(error) if is_missing(&error) => return Ok(Content::Missing),
        Err(error) => return Err(classify(error)).doing(format!("read secret `{arn}`")),
    };
    if described.deleted_date().is_some() {
        return Ok(Content::Deleted);
    }
    let Some(version) = current(&described) else { return Ok(Content::Empty) };
    let versions = client.list_secret_version_ids().secret_id(arn).send().await.map_err(classify);
    let versions = versions.doing(format!("list the versions of secret `{arn}`"))?;
    let since = versions
        .versions()
        .iter()
        .find(|entry| entry.version_id() == Some(version))
        .and_then(|entry| entry.created_date())
        .and_then(|date| Timestamp::from_second(date.secs()).ok());
    Ok(Content::Filled(since))
}

/// The id of the version that readers get.
fn current(secret: &DescribeSecretOutput) -> Option<&str> {
    let versions = secret.version_ids_to_stages()?;
    versions
        .iter()
        .find(|(_, stages)| stages.iter().any(|stage| stage == CURRENT))
        .map(|(version, _)| version.as_str())
}

fn age(since: Timestamp, now: Timestamp) -> String {
    match now.duration_since(since).as_hours() / 24 {
        ..1 => "created today".to_owned(),
        1 => "1 day old".to_owned(),
        days => format!("{days} days old"),
    }
}

#[cfg(test)]
mod tests {
    use jiff::{Timestamp, ToSpan};

    use super::age;

    #[test]
    fn a_secrets_age_is_shown_in_days() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        assert_eq!(age(now - 3.hours(), now), "created today");
        assert_eq!(age(now - 25.hours(), now), "1 day old");
        assert_eq!(age(now - (12 * 24).hours(), now), "12 days old");
        assert_eq!(age(now + 1.hour(), now), "created today");
    }
}
