//! The build's arguments and labels. They depend on the commit and the configuration only, so that a build can be
//! reproduced.

use url::Url;

use crate::{config::Config, container::Recipe, fact::Commit};

/// The processor architecture of the node groups.
const PLATFORM: &str = "linux/amd64";

/// `time` is the commit's date in seconds since 1970.
pub(super) fn recipe(config: &Config, commit: &Commit, time: i64) -> Recipe {
    let mut args = config.image.build_args.clone();
    let facts = [
        // Read by BuildKit itself, as the image's date.
        ("SOURCE_DATE_EPOCH", time.to_string()),
        ("GIT_SHA", commit.id.clone()),
        ("REVISION", commit.id.clone()),
    ];
    args.extend(facts.map(|(name, value)| (name.to_owned(), value)));
    let created = jiff::Timestamp::from_second(time).unwrap_or_default();
    let labels = [
        ("created", created.to_string()),
        ("revision", commit.id.clone()),
        ("source", without_login(&config.gitops.repository)),
        ("title", config.project.clone()),
    ];
    Recipe {
        dockerfile: config.image.dockerfile.display().to_string(),
        args,
        labels: labels.map(|(name, value)| (format!("org.opencontainers.image.{name}"), value)).into(),
        network: config.image.network.clone(),
        platform: PLATFORM.to_owned(),
    }
}

/// A repository's address without credentials, because everyone who can pull the image can read the label.
fn without_login(repository: &str) -> String {
    let Ok(mut url) = Url::parse(repository) else { return repository.to_owned() };
    if url.password().is_none() && !url.scheme().starts_with("http") {
        // The user in `ssh://git@…` is not a secret.
        return repository.to_owned();
    }
    // An address without a host cannot contain a login.
    let bare = url.set_username("").is_ok() && url.set_password(None).is_ok();
    if bare { url.to_string() } else { repository.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::{recipe, without_login};
    use crate::{fact::Commit, step::testing};

    #[test]
    fn an_image_is_labelled_with_its_commit() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = testing::context(dir.path()).0.world.config.clone();
        config.image.build_args =
            [("RUST_IMAGE", "rust:1"), ("GIT_SHA", "mine")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let recipe = recipe(&config, &Commit { id: "ab".repeat(20) }, 1_750_000_000);
        assert_eq!(recipe.args["RUST_IMAGE"], "rust:1");
        assert_eq!(recipe.args["GIT_SHA"], "ab".repeat(20), "the commit is a fact");
        assert_eq!(recipe.args["SOURCE_DATE_EPOCH"], "1750000000");
        assert_eq!(recipe.labels["org.opencontainers.image.created"], "2025-06-15T15:06:40Z");
        assert_eq!(recipe.labels["org.opencontainers.image.revision"], "ab".repeat(20));
        assert_eq!(recipe.labels["org.opencontainers.image.title"], "payment-latency-api");
    }

    #[test]
    fn a_login_in_an_address_is_kept_out_of_the_image() {
        assert_eq!(without_login("https://me:token@git.example/a.git"), "https://git.example/a.git");
        assert_eq!(without_login("https://token@git.example/a.git"), "https://git.example/a.git");
        assert_eq!(without_login("ssh://git@git.example/a.git"), "ssh://git@git.example/a.git");
        assert_eq!(without_login("git@git.example:team/a.git"), "git@git.example:team/a.git");
        assert_eq!(without_login("git://10.0.0.1/a.git"), "git://10.0.0.1/a.git");
    }
}
