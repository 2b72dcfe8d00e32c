//! Tokens that `paydeploy token` keeps for its next call. kubectl starts it for each of its commands, and without them two
//! hundred commands would ask a person's SSO portal two hundred times.
//!
//! - Only tokens of a session are kept. Keys without an end are usually in a file or a variable.
//! - A token is valid for one cluster and at most 14 minutes. It lies in a file that only its user can read: in the user's
//!   runtime folder, which is memory and ends with the login, or else in the user's cache.
//! - The file's name is a digest of everything that decides whose token it is: the cluster, the AWS variables of the
//!   environment, the AWS configuration, and the login that it refers to. So another profile, or another login, has another
//!   file.
//! - Callers that find none wait for the first of them, which asks for all.

use std::{
    env,
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};

use super::{
    lend::config_file,
    token::{LIFETIME, RENEW_BEFORE},
};

/// How long a caller waits for another one that asks, before it asks itself.
const WAIT: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_millis(50);
/// No token is valid for that long.
const OLD: Duration = Duration::from_hours(1);

/// The place of one token.
#[derive(Debug)]
pub struct Kept {
    path: PathBuf,
}

impl Kept {
    /// The place of this process's token for a cluster; `None` if there is no folder for it.
    pub fn of(cluster: &str, aws_region: &str) -> Option<Self> {
        let folder = folder(|name| env::var_os(name))?;
        is_private(&folder).ok()?.then(|| {
            let name = digest(cluster, aws_region, env::vars_os());
            Self { path: folder.join(name) }
        })
    }

    /// The kept output, if its token lasts for another minute.
    pub fn read(&self, now: SystemTime) -> Option<String> {
        let text = fs::read_to_string(&self.path).ok()?;
        let parsed: serde_json::Value = serde_json::from_str(&text).ok()?;
        let end: jiff::Timestamp = parsed["status"]["expirationTimestamp"].as_str()?.parse().ok()?;
        let end = SystemTime::from(end);
        // A later end was written with another clock, and EKS would go by its own.
        (now + RENEW_BEFORE < end && end <= now + LIFETIME).then_some(text)
    }

    /// Waits until no other process asks for the same token. The lock ends with the file.
    pub async fn lock(&self) -> Option<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).mode(0o600);
        // A link would lead to a file of somewhere else.
        let no_link = OFlags::NOFOLLOW.bits().cast_signed();
        let file = options.custom_flags(no_link).open(self.path.with_extension("lock")).ok()?;
        let started = tokio::time::Instant::now();
        while started.elapsed() < WAIT {
            match file.try_lock() {
                Ok(()) => return Some(file),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(INTERVAL).await,
                Err(TryLockError::Error(_)) => return None,
            }
        }
        None
    }

    /// Keeps an output, and deletes what is of no use any more.
    pub fn write(&self, text: &str) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        // A temporary file is created with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        io::Write::write_all(&mut file, text.as_bytes())?;
        file.persist(&self.path)?;
        for entry in fs::read_dir(folder)?.flatten() {
            let age = entry.metadata().and_then(|file| file.modified()).map(|time| time.elapsed());
            if age.is_ok_and(|age| age.is_ok_and(|age| age > OLD)) {
                drop(fs::remove_file(entry.path()));
            }
        }
        Ok(())
    }
}

/// Creates the folder, and makes sure that it is this user's alone. It may exist already.
fn is_private(folder: &Path) -> io::Result<bool> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let found = fs::symlink_metadata(folder)?;
    let is_own = found.uid() == rustix::process::getuid().as_raw();
    Ok(found.is_dir() && is_own && found.permissions().mode() & 0o777 == 0o700)
}

fn folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let given = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let runtime = given("XDG_RUNTIME_DIR").filter(|folder| folder.is_dir());
    let cache = || given("XDG_CACHE_HOME").or_else(|| Some(given("HOME")?.join(".cache")));
    Some(runtime.or_else(cache)?.join("paydeploy/tokens"))
}

fn digest(
    cluster: &str,
    aws_region: &str,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> String {
    let mut variables: Vec<(OsString, OsString)> = variables.into_iter().collect();
    variables.sort();
    let value =
        |name: &str| variables.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone());
    let file = |variable: &str, usual: &str| {
        config_file(value, variable, usual).and_then(|file| fs::read(file).ok()).unwrap_or_default()
    };
    let mut digest = Sha256::new();
    let mut add = |part: &[u8]| {
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    };
    add(cluster.as_bytes());
    add(aws_region.as_bytes());
    for (name, value) in variables.iter().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
        add(name.as_encoded_bytes());
        add(value.as_encoded_bytes());
    }
    add(&file("AWS_CONFIG_FILE", ".aws/config"));
    add(&file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"));
    if value("AWS_WEB_IDENTITY_TOKEN_FILE").is_some() {
        add(&file("AWS_WEB_IDENTITY_TOKEN_FILE", ""));
    }
    // Where `aws sso login` keeps its sessions.
    let logins = value("HOME").map(|home| PathBuf::from(home).join(".aws/sso/cache"));
    let logins = logins.and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    let mut logins: Vec<PathBuf> = logins.map(|entry| entry.path()).collect();
    logins.sort();
    for login in logins {
        add(&fs::read(login).unwrap_or_default());
    }
    hex::encode(digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn another_cluster_profile_or_configuration_has_another_token() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config");
        fs::write(&config, "[profile a]").unwrap();
        let digest = |cluster: &str, profile: &str| {
            let config = config.to_str().unwrap();
            digest(cluster, "eu-south-2", variables(&[("AWS_CONFIG_FILE", config), ("AWS_PROFILE", profile)]))
        };
        let first = digest("spain", "a");
        assert_eq!(digest("spain", "a"), first);
        assert_ne!(digest("mexico", "a"), first);
        assert_ne!(digest("spain", "b"), first);
        fs::write(&config, "[profile b]").unwrap();
        assert_ne!(digest("spain", "a"), first);
    }

    #[test]
    fn a_token_that_is_about_to_end_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept { path: folder.path().join("x") };
        let end: jiff::Timestamp = "2026-11-30T12:14:00Z".parse().unwrap();
        let text = r#"{"status":{"expirationTimestamp":"2026-11-30T12:14:00Z","token":"t"}}"#;
        assert_eq!(kept.read(SystemTime::UNIX_EPOCH), None);
        kept.write(text).unwrap();
        let before = |seconds| SystemTime::from(end) - Duration::from_secs(seconds);
        assert_eq!(kept.read(before(61)).as_deref(), Some(text));
        assert_eq!(kept.read(before(60)), None);
        assert_eq!(kept.read(before(15 * 60)), None, "it was signed with another clock");
        fs::write(&kept.path, "{").unwrap();
        assert_eq!(kept.read(before(600)), None);
    }

    #[tokio::test]
    async fn tokens_are_kept_only_in_a_folder_and_in_files_of_the_user_alone() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("paydeploy/tokens");
        assert!(is_private(&folder).unwrap());
        let kept = Kept { path: folder.join("x") };
        kept.write("{}").unwrap();
        let lock = kept.lock().await;
        for name in ["x", "x.lock"] {
            let rights = fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777;
            assert_eq!(rights, 0o600, "{name}");
        }
        drop(lock);
        fs::remove_file(folder.join("x.lock")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), folder.join("x.lock")).unwrap();
        assert!(kept.lock().await.is_none() && !dir.path().join("elsewhere").exists());
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(!is_private(&folder).unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_caller_waits_for_the_first_and_then_asks_itself() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept { path: folder.path().join("x") };
        let first = kept.lock().await;
        assert!(first.is_some());
        assert!(kept.lock().await.is_none());
        drop(first);
        assert!(kept.lock().await.is_some());
    }
}
