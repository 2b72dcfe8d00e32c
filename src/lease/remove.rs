//! Removes the lease of a run that a person knows to have ended:
//!
//! 1. It is replaced by a lease of this process, so that no other run takes the region yet.
//! 2. A holder that lives after all reads that at its next renewal, and stops. One that cannot renew does nothing any more
//!    once its lease has expired, so that is waited for.
//! 3. The replacement is deleted.

use super::{Lease, Place, SILENCE, keeper::AGAIN, take::read};
use crate::{
    aws::objects::Condition,
    state::Header,
    task::{Class, Error, Result, RunId},
};

/// A holder that lives changes the object every ten seconds, so more than one of these in a row is chance.
const ATTEMPTS: u32 = 5;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// It was not renewed after the operator had seen it.
    Silent,
    /// It was renewed, so its holder lives.
    Alive,
}

/// Removes the lease that the operator has seen. `by` is this process. When `interrupted` is ready, holders are no longer
/// waited for, and only the replacement is deleted.
///
/// # Errors
/// Of class [`Class::Conflict`] when another run has taken it.
pub async fn remove(
    place: &impl Place,
    key: &str,
    seen: &Lease,
    by: Header,
    interrupted: impl Future<Output = ()>,
) -> Result<Removed> {
    let ours = Lease { id: RunId::new().to_string(), holder: by, beat: 0, removes: true };
    let content = serde_json::to_vec(&ours)?;
    let mut removed = Removed::Silent;
    for _ in 0..ATTEMPTS {
        let Some((object, lease)) = read(place, key).await? else { return Ok(removed) };
        if lease.id == seen.id {
            if lease.beat != seen.beat {
                removed = Removed::Alive;
            }
            // Whether it was written, or its answer was lost, the next read tells.
            match place.write(key, content.clone(), Condition::Is(&object.etag)).await {
                Err(error) if error.class != Class::Transient => return Err(error),
                _ => {}
            }
        } else if lease.id == ours.id {
            tokio::select! {
                () = tokio::time::sleep(SILENCE) => {}
                () = interrupted => {}
            }
            return delete(place, key, &object.etag).await.map(|()| removed);
        } else {
            return Err(Error::msg(Class::Conflict, "another run has taken the region since"));
        }
    }
    Err(Error::transient("it keeps changing"))
}

/// Otherwise other machines would wait for this process's own silence.
async fn delete(place: &impl Place, key: &str, etag: &str) -> Result<()> {
    let mut result = place.delete(key, etag).await;
    for _ in 1..ATTEMPTS {
        if result.is_ok() {
            break;
        }
        tokio::time::sleep(AGAIN).await;
        result = place.delete(key, etag).await;
    }
    result
}
