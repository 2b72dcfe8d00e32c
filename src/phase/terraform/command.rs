//! Runs terraform in a stack's work folder: initialises it where needed, and parses terraform's messages.

use std::{collections::BTreeSet, ffi::OsString, path::Path, sync::PoisonError, time::Duration};

use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, MutexGuard};

use super::{
    diagnosis,
    folder::Folder,
    lock,
    message::{Diagnostic, Message},
};
use crate::{
    step::{Context, Error, ErrorExt, Result},
    tool::{ChildExit, Command},
};

/// Only one `init` at a time may fill terraform's provider cache: it is not safe for concurrent writers
/// (hashicorp/terraform#32028).
static FILLING: Mutex<()> = Mutex::const_new(());
/// The lock files whose providers are cached: for them `init` only reads the cache, and needs no turn.
static CACHED: std::sync::Mutex<BTreeSet<Vec<u8>>> = std::sync::Mutex::new(BTreeSet::new());

/// Waits for the right to fill the cache; `None` if it has the providers of this lock file already.
async fn turn(lock_file: &[u8]) -> Option<MutexGuard<'static, ()>> {
    if is_cached(lock_file) {
        return None;
    }
    let alone = FILLING.lock().await;
    // Checked again: the previous holder may have cached the same providers.
    (!is_cached(lock_file)).then_some(alone)
}

fn is_cached(lock_file: &[u8]) -> bool {
    CACHED.lock().unwrap_or_else(PoisonError::into_inner).contains(lock_file)
}

fn cached(lock_file: Vec<u8>) {
    CACHED.lock().unwrap_or_else(PoisonError::into_inner).insert(lock_file);
}

/// How long terraform may take to save its state after it was interrupted at the step's deadline. The AWS provider
/// ends its waits at once, and what it has created by then is saved within seconds.
const GRACE: Duration = Duration::from_secs(120);

/// The commands that terraform would lock the state for.
const LOCKING: [&str; 7] = ["apply", "destroy", "import", "plan", "refresh", "state", "untaint"];
const NO_LOCK: &str = "-lock=false";
/// Plans a deletion.
pub(super) const DESTROY: &str = "-destroy";
/// Terraform's names for what a lock is held for.
const PLAN: &str = "OperationTypePlan";
const APPLY: &str = "OperationTypeApply";
const PUSH: &str = "state-push";
pub(super) const REMOVE: &str = "state-rm";
pub(super) const UNTAINT: &str = "untaint";

/// A file beside the data of the last `init`, with a hash of what that depended on.
const STAMP: &str = ".terraform/paydeploy-init";

/// Where a stack's state is stored.
#[derive(Debug, Clone)]
pub struct Backend {
    pub bucket: String,
    pub key: String,
    pub aws_region: String,
}

impl Backend {
    /// The backend's settings, over those in the stack's own block.
    fn settings(&self) -> [String; 5] {
        let Self { bucket, key, aws_region } = self;
        [
            format!("bucket={bucket}"),
            format!("key={key}"),
            format!("region={aws_region}"),
            // Terraform would ask for AES256, which the bucket's policy denies. Without a request S3 encrypts with the
            // bucket's default, the state's own key. Naming that key here would break `down` on a bucket without one.
            "encrypt=false".to_owned(),
            "use_lockfile=true".to_owned(),
        ]
    }
}

/// Terraform on one stack.
pub struct Terraform<'a> {
    pub cx: &'a Context,
    pub folder: &'a Folder,
    pub backend: &'a Backend,
}

/// The exit and the diagnostics of a command.
pub struct Said {
    pub exit: ChildExit,
    pub diagnostics: Vec<Diagnostic>,
}

impl Terraform<'_> {
    /// Initialises the folder if needed.
    pub async fn prepare(&self) -> Result<()> {
        if std::fs::read_to_string(self.folder.path.join(STAMP)).ok() == Some(self.stamp()) {
            return Ok(());
        }
        self.init().await
    }

    pub async fn init(&self) -> Result<()> {
        self.cx.progress("initialising");
        let lock_file = self.folder.lock_file();
        // Held until `init` ends. The wait can be as long as another stack's download of the providers, so Ctrl-C
        // must end it; which branch wins if both are ready does not matter, as the command checks again.
        let _alone = tokio::select! {
            turn = turn(&lock_file) => turn,
            () = self.cx.cancel.soft.cancelled() => return Err(Error::cancelled()),
        };
        let init = ["init", "-json", "-input=false", "-lockfile=readonly", "-reconfigure"];
        let config = self.backend.settings().map(|setting| format!("-backend-config={setting}"));
        self.attempt(&self.command(init)?.args(config), &mut |_| {}).await?.check()?;
        cached(lock_file);
        self.check_backend()?;
        let stamp = self.folder.path.join(STAMP);
        std::fs::write(&stamp, self.stamp()).doing(format!("write `{}`", stamp.display()))
    }

    /// Without a backend block terraform stores the state in a local file, and only warns about it.
    fn check_backend(&self) -> Result<()> {
        let path = self.folder.path.join(".terraform/terraform.tfstate");
        // An unreadable file counts as a wrong backend, which is the error below.
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let chosen: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        if chosen["backend"]["type"] == "s3" {
            return Ok(());
        }
        Err(Error::permanent("the stack does not keep its state in S3")
            .with_hint("add `backend \"s3\" {}` to its `terraform` block"))
    }

    /// What an `init` depends on, apart from the modules: terraform itself notices those.
    fn stamp(&self) -> String {
        let settings = self.backend.settings().map(String::into_bytes);
        let mut hash = Sha256::new();
        for part in settings.into_iter().chain([self.folder.lock_file()]) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hex::encode(hash.finalize())
    }

    /// Pushes the state that an earlier run could not save. Before anything else: a plan without it would create the
    /// same resources again.
    pub async fn save_state(&self) -> Result<()> {
        let Some(unsaved) = self.folder.unsaved_state() else { return Ok(()) };
        self.prepare().await?;
        self.cx.progress("pushing the state that an earlier run could not save");
        let push = self.command(["state", "push"])?.arg(&unsaved);
        let lock = lock::hold(self, PUSH).await?;
        let pushed = push.run(self.cx).await;
        lock.release(self).await;
        pushed.doing(format!("push `{}`", unsaved.display())).hint(format!(
            "it describes resources that an earlier run created and could not record in `s3://{}/{}`: compare the two, and \
             delete the file once S3 has the newer one",
            self.backend.bucket, self.backend.key
        ))?;
        std::fs::remove_file(&unsaved).doing(format!("delete `{}`", unsaved.display()))
    }

    /// Terraform in the folder, with these arguments, flags before any other.
    pub fn command<A: Into<OsString>>(&self, args: impl IntoIterator<Item = A>) -> Result<Command> {
        let cache = self.cx.world.state.join("terraform/plugins");
        let cache = std::path::absolute(cache)?;
        std::fs::create_dir_all(&cache).doing(format!("create `{}`", cache.display()))?;
        let mut chdir = OsString::from("-chdir=");
        chdir.push(&self.folder.path);
        let mut args: Vec<OsString> = args.into_iter().map(Into::into).collect();
        let words = if args.first().is_some_and(|word| word == "state") { 2 } else { 1 };
        if args.first().and_then(|word| word.to_str()).is_some_and(|word| LOCKING.contains(&word)) {
            // paydeploy itself takes the lock, see `lock`.
            args.insert(words.min(args.len()), NO_LOCK.into());
        }
        Ok(Command::new(&self.cx.world.tools.terraform)
            .arg(chdir)
            .args(args)
            .grace(GRACE)
            .env("TF_IN_AUTOMATION", "1")
            .env("CHECKPOINT_DISABLE", "1")
            .env("TF_PLUGIN_CACHE_DIR", &cache)
            .pass_env("TF_PLUGIN_CACHE_DIR")
            .pass_env("TF_CLI_CONFIG_FILE")
            .with_aws(self.cx.world.aws.lend(&self.cx.world.state)?)
            // The stack sets its own region.
            .without_env("AWS_REGION")
            .without_env("AWS_DEFAULT_REGION"))
    }

    /// Runs a command that prints messages; if it turns out that the folder needs an `init`, initialises and retries.
    pub async fn run(&self, command: Command, mut on_message: impl FnMut(&Message) + Send) -> Result<Said> {
        let result = self.attempt(&command, &mut on_message).await?;
        if result.exit.is_good() || !diagnosis::wants_init(&result.diagnostics) {
            return Ok(result);
        }
        self.init().await?;
        self.attempt(&command, &mut on_message).await
    }

    async fn attempt(
        &self,
        command: &Command,
        on_message: &mut (impl FnMut(&Message) + Send),
    ) -> Result<Said> {
        let mut diagnostics = Vec::new();
        let mut foreign = None;
        let root = &self.cx.world.config.root;
        let follow = command.follow(self.cx, |line| {
            let Some(message) = Message::parse(line) else { return };
            foreign = foreign.take().or(message.foreign_version().map(str::to_owned));
            on_message(&message);
            if let Message::Diagnostic { mut diagnostic } = message {
                if let Some(range) = &mut diagnostic.range {
                    range.filename = self.folder.display_path(&range.filename, root);
                }
                diagnostics.push(diagnostic);
            }
        });
        // Planning a deletion changes nothing, not even the lock: an outdated plan is refused when it is applied.
        let exit = if command.has_arg(NO_LOCK) && !command.has_arg(DESTROY) {
            let lock = lock::hold(self, if command.has_arg("plan") { PLAN } else { APPLY }).await?;
            let exit = follow.await;
            // A killed terraform may have left a provider that still acts, and has not saved its state. The lock keeps
            // everyone else out until the next attempt or run.
            if !exit.as_ref().is_ok_and(ChildExit::is_killed) {
                lock.release(self).await;
            }
            exit?
        } else {
            follow.await?
        };
        if let Some(version) = foreign {
            return Err(Error::permanent(format!(
                "terraform prints messages of version {version}, which this paydeploy cannot read"
            ))
            .with_hint("use a newer `paydeploy`, or an older terraform"));
        }
        Ok(Said { exit, diagnostics })
    }
}

impl Said {
    /// Whether terraform has ended by itself and knows of everything that it has created.
    pub fn knows_all(&self) -> bool {
        self.exit.is_good() || self.exit.code() == Some(1) && !diagnosis::may_have_lost(&self.diagnostics)
    }

    /// # Errors
    /// When the command failed: terraform's diagnostics, classified.
    pub fn check(&self) -> Result<()> {
        if self.exit.is_good() {
            return Ok(());
        }
        match diagnosis::judge(&self.diagnostics) {
            Some(error) => Err(error),
            None => self.exit.check(),
        }
    }
}

/// A path relative to the current directory, where possible.
pub(super) fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}
