//! The lock of a stack's state, taken by paydeploy in place of terraform.
//!
//! Terraform chooses the id of its lock itself, tells nobody, and leaves the lock behind when it is killed. Whose it
//! then is could only be guessed from names and times. So paydeploy takes the lock, and terraform runs with
//! `-lock=false`:
//!
//! 1. It chooses an id and records it as a claim, on disk and in the region's bucket.
//! 2. It writes the lock object, in terraform's own format and under terraform's own condition: that there is none. So
//!    terraform, and a paydeploy elsewhere, are kept out as always.
//! 3. It deletes the object when terraform has ended, and releases the claim.
//!
//! A lock whose id is in the claims of a run that is proved dead is therefore ours, and no age or name has to be
//! compared. Any other lock belongs to somebody else and is only reported. A step that is dropped while its terraform
//! still ends leaves the lock in place: it protects the state until the next run has seen that terraform has ended.

use uuid::Uuid;

use super::command::{Backend, Terraform};
use crate::{
    aws::{
        objects::Objects,
        state_file::{self, StateLock},
    },
    state::{Machine, user},
    step::{Claim, Class, Error, ErrorExt, Result},
};

/// How the lock of a paydeploy starts to describe its holder. For messages only: it proves nothing.
const OURS: &str = "paydeploy";

/// A lock that this step holds.
pub(super) struct Held {
    objects: Objects,
    claim: Claim,
    key: String,
    id: String,
}

/// Where the lock of a state is.
fn lock_key(key: &str) -> String {
    format!("{key}.tflock")
}

impl Backend {
    fn objects(&self, terraform: &Terraform<'_>) -> Objects {
        Objects::new(&terraform.cx.world.aws.in_region(&self.aws_region), &self.bucket)
    }
}

/// Takes the lock of the stack's state. `operation` is terraform's name for what the lock is held for.
///
/// # Errors
/// [`Class::Conflict`] when another process holds it, with its owner, its age and the command that frees it.
pub(super) async fn hold(terraform: &Terraform<'_>, operation: &str) -> Result<Held> {
    let Terraform { cx, backend, .. } = *terraform;
    // A lock that an earlier command of this step could not delete.
    free(terraform, &cx.claims.open()).await?;
    let (id, key) = (Uuid::now_v7().to_string(), lock_key(&backend.key));
    let claim = Claim::StateLock { bucket: backend.bucket.clone(), key: backend.key.clone(), id: id.clone() };
    let held = Held { objects: backend.objects(terraform), claim, key, id };
    cx.claim(&held.claim).await?;
    let created = held.objects.create(&held.key, content(backend, &held.id, operation)).await;
    if created.doing("lock the state")? {
        return Ok(held);
    }
    let aws = cx.world.aws.in_region(&backend.aws_region);
    let holder = state_file::lock(&aws, &backend.bucket, &backend.key).await?;
    // The answer to an earlier attempt was lost.
    if holder.as_ref().is_some_and(|holder| holder.id == held.id) {
        return Ok(held);
    }
    cx.release(&held.claim);
    Err(locked(terraform, holder))
}

/// Terraform's own format (`statemgr.LockInfo`), so that its messages name us, and `force-unlock` works.
fn content(backend: &Backend, id: &str, operation: &str) -> Vec<u8> {
    serde_json::json!({
        "ID": id,
        "Operation": operation,
        "Info": format!("{OURS}, process {}", std::process::id()),
        "Who": format!("{}@{}", user(), Machine::here().host),
        "Version": "",
        "Created": jiff::Timestamp::now().to_string(),
        "Path": format!("{}/{}", backend.bucket, backend.key),
    })
    .to_string()
    .into_bytes()
}

impl Held {
    /// Deletes the lock. What terraform has done stays done, so a failure is only a warning: the claim remains, and the
    /// next command or run frees the lock by its id.
    pub(super) async fn release(self, terraform: &Terraform<'_>) {
        match delete(&self.objects, &self.key, &self.id).await {
            Ok(()) => terraform.cx.release(&self.claim),
            Err(error) => terraform.cx.warn(
                format!("failed to unlock the state: {error}"),
                "nothing to do: the next run frees the lock, which is recorded as its own",
            ),
        }
    }
}

/// Frees the locks among `claims`, which are all ours and without an owner that still acts.
pub(super) async fn free(terraform: &Terraform<'_>, claims: &[Claim]) -> Result<()> {
    for claim in claims {
        let Claim::StateLock { bucket, key, id } = claim else { continue };
        let aws = terraform.cx.world.aws.in_region(&terraform.backend.aws_region);
        let deleted = delete(&Objects::new(&aws, bucket), &lock_key(key), id).await;
        deleted.doing(format!("free the lock {id} that a dead run of paydeploy left"))?;
        terraform.cx.release(claim);
    }
    Ok(())
}

/// Deletes a lock if it has this id. The condition on the content makes sure that nobody has replaced it meanwhile.
async fn delete(objects: &Objects, key: &str, id: &str) -> Result<()> {
    let Some(object) = objects.get(key).await? else { return Ok(()) };
    let lock: Option<StateLock> = serde_json::from_slice(&object.body).ok();
    if lock.is_some_and(|lock| lock.id == id) {
        objects.delete(key, &object.etag).await?;
    }
    Ok(())
}

/// The error for a lock that is not ours, or cannot be proved to be.
pub(super) fn locked(terraform: &Terraform<'_>, holder: Option<StateLock>) -> Error {
    let Some(StateLock { id, who, operation, created, info }) = holder else {
        return Error::transient("the state was locked and has been unlocked since");
    };
    let age = created.parse::<jiff::Timestamp>().map_or_else(
        |_| String::new(),
        |since| {
            let minutes = jiff::Timestamp::now().duration_since(since).as_mins().max(0);
            format!(" for {minutes} min")
        },
    );
    let message = format!("the state is locked by {who}{age}, since {created} ({operation}, lock {id})");
    let folder = super::command::shown(&terraform.folder.path);
    let command = format!("`terraform -chdir={folder} force-unlock {id}`");
    let ours = if info.starts_with(OURS) {
        "; if it has died, `paydeploy up` and `down` free the lock by its record; where the record is lost as well, "
    } else {
        ", else "
    };
    Error::msg(Class::Conflict, message)
        .with_hint(format!("wait for that run if it is still running{ours}{command}"))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        kubernetes::testing::{Call, Server},
        phase::terraform::folder::Folder,
        step::{Context, Events, testing},
    };

    const FOREIGN: &str = r#"{"ID":"theirs","Operation":"OperationTypeApply","Info":"","Who":"ana@laptop",
        "Version":"1.13.4","Created":"2026-11-22T10:00:00.1Z","Path":"b/k"}"#;

    /// What the bucket holds at the lock's key.
    type Stored = Arc<Mutex<Option<String>>>;

    /// S3 with one object. With `lost` the first write succeeds, but its answer is lost and the retry sees the object.
    async fn bucket(stored: &Stored, lost: bool) -> Server {
        let stored = stored.clone();
        Server::start(move |call: &Call| {
            let mut stored = stored.lock().unwrap();
            let missing = (404, json!("<Error><Code>NoSuchKey</Code></Error>"));
            match (call.method.as_str(), stored.clone()) {
                ("PUT", None) => {
                    *stored = Some(call.body.clone());
                    if lost {
                        (412, json!("<Error><Code>PreconditionFailed</Code></Error>"))
                    } else {
                        (200, json!(""))
                    }
                }
                ("PUT", Some(_)) => (412, json!("<Error><Code>PreconditionFailed</Code></Error>")),
                ("GET", Some(lock)) => (200, Value::String(lock)),
                ("DELETE", _) => {
                    *stored = None;
                    (204, json!(""))
                }
                _ => missing,
            }
        })
        .await
    }

    struct World {
        cx: Context,
        folder: Folder,
        backend: Backend,
        _dir: tempfile::TempDir,
    }

    fn world(server: &Server) -> World {
        let dir = tempfile::tempdir().unwrap();
        let (mut cx, _events) = testing::context(dir.path());
        Arc::get_mut(&mut cx.world).unwrap().aws = server.aws();
        let stacks = dir.path().join("terraform/stacks");
        std::fs::create_dir_all(stacks.join("audit")).unwrap();
        let folder = Folder::create(&dir.path().join("work"), &stacks, "audit").unwrap();
        let backend = Backend {
            bucket: "states".to_owned(),
            key: "payments/spain/audit.tfstate".to_owned(),
            aws_region: "eu-south-2".to_owned(),
        };
        World { cx, folder, backend, _dir: dir }
    }

    impl World {
        fn terraform(&self) -> Terraform<'_> {
            Terraform { cx: &self.cx, folder: &self.folder, backend: &self.backend }
        }

        fn claim(&self, id: &str) -> Claim {
            let Backend { bucket, key, .. } = self.backend.clone();
            Claim::StateLock { bucket, key, id: id.to_owned() }
        }
    }

    #[tokio::test]
    async fn a_lock_is_written_in_terraforms_format_with_the_claimed_id_and_deleted_at_the_end() {
        let stored = Stored::default();
        let server = bucket(&stored, false).await;
        let world = world(&server);
        let held = hold(&world.terraform(), "OperationTypeApply").await.unwrap();
        let lock: Value = serde_json::from_str(stored.lock().unwrap().as_ref().unwrap()).unwrap();
        let id = lock["ID"].as_str().unwrap().to_owned();
        assert_eq!(world.cx.claims.open(), [world.claim(&id)]);
        assert_eq!(lock["Operation"], "OperationTypeApply");
        assert_eq!(lock["Path"], "states/payments/spain/audit.tfstate");
        assert!(lock["Who"].as_str().unwrap().ends_with(&format!("@{}", Machine::here().host)), "{lock}");
        lock["Created"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        held.release(&world.terraform()).await;
        assert_eq!((stored.lock().unwrap().clone(), world.cx.claims.open()), (None, Vec::new()));
    }

    #[tokio::test]
    async fn a_lock_whose_claim_is_not_on_disk_is_not_taken() {
        let stored = Stored::default();
        let server = bucket(&stored, false).await;
        let mut world = world(&server);
        let (events, mut inbox) = Events::channel();
        world.cx.task.events = events;
        let terraform = world.terraform();
        // The journal cannot be written.
        let refuse = async { drop(inbox.recv().await) };
        let (held, ()) = tokio::join!(hold(&terraform, "OperationTypeApply"), refuse);
        assert!(held.is_err());
        assert!(server.calls().is_empty() && world.cx.claims.open().is_empty());
    }

    #[tokio::test]
    async fn a_lock_of_somebody_else_is_reported_with_owner_age_and_command_and_left_alone() {
        let stored = Stored::new(Mutex::new(Some(FOREIGN.to_owned())));
        let server = bucket(&stored, false).await;
        let world = world(&server);
        let Err(error) = hold(&world.terraform(), "OperationTypeApply").await else { panic!("taken") };
        let text = error.to_string();
        assert!(
            text.contains("locked by ana@laptop for ") && text.contains("min, since 2026-11-22T10:00"),
            "{text}"
        );
        assert!(error.hint.as_ref().unwrap().ends_with("force-unlock theirs`"), "{error:?}");
        assert_eq!(error.class, Class::Conflict);
        assert!(world.cx.claims.open().is_empty());
        // Not even a claim on the same state frees it: the id is another.
        free(&world.terraform(), &[world.claim("ours")]).await.unwrap();
        assert_eq!(stored.lock().unwrap().as_deref(), Some(FOREIGN));
    }

    #[tokio::test]
    async fn a_lock_that_was_written_although_the_answer_was_lost_is_held() {
        let stored = Stored::default();
        let server = bucket(&stored, true).await;
        let world = world(&server);
        let held = hold(&world.terraform(), "OperationTypePlan").await.unwrap();
        assert_eq!(world.cx.claims.open(), [held.claim]);
    }

    #[tokio::test]
    async fn the_lock_of_a_dead_run_is_freed_by_its_id() {
        let stored = Stored::new(Mutex::new(Some(FOREIGN.to_owned())));
        let server = bucket(&stored, false).await;
        let world = world(&server);
        free(&world.terraform(), &[world.claim("theirs")]).await.unwrap();
        assert_eq!(*stored.lock().unwrap(), None);
        // Again, as after a repair that was itself interrupted.
        free(&world.terraform(), &[world.claim("theirs")]).await.unwrap();
    }
}
