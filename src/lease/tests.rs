//! What a run notices of leases, with the clock of a bucket that always answers.

use std::future::pending;

use tokio::time::{Instant, sleep};

use super::{
    model::{Bucket, Line, Machinery},
    *,
};
use crate::{
    step::{Phase, StepId},
    task::{Fence, Place as Where},
};

const NONE: Duration = Duration::ZERO;
const ANYWHERE: Where<'_> = Where::Region(None);
const LONG: Duration = Duration::from_mins(60);

fn region(name: &str) -> RegionName {
    name.parse().unwrap()
}

async fn take(leases: &Leases<Line>, names: &[&str], patience: Duration) -> Result<bool, Refused> {
    let regions: Vec<RegionName> = names.iter().map(|name| region(name)).collect();
    leases.take(&regions, patience, drop).await.unwrap().map(|waited| waited != Waited::No)
}

/// Whether another run was waited for.
async fn lend(leases: &Leases<Line>, step: &StepId) -> bool {
    leases.lend(step, NONE, drop).await.unwrap().unwrap() != Waited::No
}

fn process(bucket: &Bucket, name: &str) -> (std::sync::Arc<Leases<Line>>, Fence) {
    bucket.process(name, Machinery::default(), &region("spain"))
}

#[tokio::test(start_paused = true)]
async fn a_region_that_a_living_run_holds_is_refused_by_its_name() {
    let bucket = Bucket::reliable();
    let (first, _) = process(&bucket, "first");
    let (second, fence) = process(&bucket, "second");
    take(&first, &["spain"], NONE).await.unwrap();
    let refused = take(&second, &["spain"], NONE).await.unwrap_err().to_string();
    assert!(refused.starts_with("region `spain` is held by run first (`paydeploy up` by "), "{refused}");
    assert!(fence.lost().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_patient_run_gets_the_region_when_the_other_ends() {
    let bucket = Bucket::reliable();
    let (first, _) = process(&bucket, "first");
    let (second, _) = process(&bucket, "second");
    take(&first, &["spain"], NONE).await.unwrap();
    let started = Instant::now();
    let (taken, ()) = tokio::join!(take(&second, &["spain"], LONG), async {
        sleep(Duration::from_mins(20)).await;
        first.finish().await;
    });
    assert!(taken.unwrap(), "it has waited");
    assert!(started.elapsed() < Duration::from_mins(20) + Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_region_of_a_run_that_died_elsewhere_is_taken_over_after_its_silence() {
    let bucket = Bucket::reliable();
    let (first, _) = process(&bucket, "first");
    take(&first, &["spain"], NONE).await.unwrap();
    drop(first);
    let (second, _) = process(&bucket, "second");
    let (place, key) = bucket.line().of(&region("spain")).unwrap();
    let (_, lease) = read(&place, &key).await.unwrap().unwrap();
    let started = Instant::now();
    take(&second, &["spain"], NONE).await.unwrap();
    let waited = started.elapsed();
    assert!(waited >= SILENCE + MARGIN && waited < SILENCE + MARGIN + Duration::from_secs(5), "{waited:?}");
    assert!(second.has_outlived(&lease.holder));
}

#[tokio::test(start_paused = true)]
async fn all_regions_are_taken_or_none() {
    let bucket = Bucket::reliable();
    let (first, _) = process(&bucket, "first");
    let (second, _) = process(&bucket, "second");
    let (third, _) = process(&bucket, "third");
    take(&first, &["mexico"], NONE).await.unwrap();
    let refused = take(&second, &["spain", "mexico"], NONE).await.unwrap_err();
    assert_eq!(refused.region, region("mexico"));
    assert!(!take(&third, &["spain"], NONE).await.unwrap(), "the second run holds nothing");
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_answers_are_lost_keeps_what_it_holds() {
    let bucket = Bucket::reliable();
    let (first, fence) = process(&bucket, "first");
    take(&first, &["spain"], NONE).await.unwrap();
    bucket.lose_answers(1000);
    sleep(SILENCE.saturating_sub(BEAT)).await;
    bucket.lose_answers(0);
    sleep(BEAT * 2).await;
    assert_eq!(fence.lost(), None);
    fence.pass(ANYWHERE).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_broken_lease_stops_its_run_before_its_next_effect() {
    let bucket = Bucket::reliable();
    let (first, fence) = process(&bucket, "first");
    take(&first, &["spain"], NONE).await.unwrap();
    bucket.break_lease();
    assert_eq!(fence.closed().await, "the lease of region `spain` was deleted");
    assert!(fence.pass(ANYWHERE).is_err());
}

#[tokio::test(start_paused = true)]
async fn the_hub_is_lent_to_the_steps_of_one_run_at_a_time() {
    let bucket = Bucket::reliable();
    let (mexico, _) = process(&bucket, "mexico");
    let (chile, _) = process(&bucket, "chile");
    let (one, other) = (StepId::global(Phase::Apps, "manifests"), StepId::global(Phase::Apps, "other"));
    assert!(!lend(&mexico, &one).await);
    assert!(!lend(&mexico, &other).await);
    mexico.unlend(&one).await;
    let (waited, ()) = tokio::join!(async { lend(&chile, &one).await }, async {
        sleep(Duration::from_secs(30)).await;
        mexico.unlend(&other).await;
    });
    assert!(waited, "what it has read may be outdated");
    chile.unlend(&one).await;
    assert!(!lend(&mexico, &one).await, "it was returned");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_holds_the_hub_lends_it_without_returning_it() {
    let bucket = Bucket::reliable();
    let (all, _) = process(&bucket, "all");
    let (other, _) = process(&bucket, "other");
    let step = StepId::global(Phase::Apps, "manifests");
    take(&all, &["spain", "mexico"], NONE).await.unwrap();
    assert!(!lend(&all, &step).await);
    all.unlend(&step).await;
    assert_eq!(take(&other, &["spain"], NONE).await.unwrap_err().region, region("spain"));
}

#[tokio::test(start_paused = true)]
async fn a_removed_lease_stops_its_holder_before_another_run_gets_the_region() {
    let bucket = Bucket::reliable();
    let (first, fence) = process(&bucket, "first");
    let (second, _) = process(&bucket, "second");
    take(&first, &["spain"], NONE).await.unwrap();
    let (place, key) = bucket.line().of(&region("spain")).unwrap();
    let (_, seen) = read(&place, &key).await.unwrap().unwrap();
    sleep(BEAT * 2).await;
    let by = Header::new(&crate::task::RunId::named("third"), "lock break spain");
    let (removed, taken) = tokio::join!(remove(&place, &key, &seen, by, pending()), async {
        // Without patience for a living run: what is being removed is waited for in any case.
        sleep(BEAT).await;
        let taken = take(&second, &["spain"], NONE).await;
        (taken, fence.pass(ANYWHERE))
    });
    assert_eq!(removed.unwrap(), Removed::Alive, "it has renewed its lease since it was seen");
    assert!(taken.0.unwrap());
    let why = taken.1.unwrap_err().to_string();
    assert!(why.starts_with("run third (`paydeploy lock break spain`") && why.contains("has taken"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_another_run_has_by_now_is_not_removed() {
    let bucket = Bucket::reliable();
    let (first, _) = process(&bucket, "first");
    let (second, fence) = process(&bucket, "second");
    take(&first, &["spain"], NONE).await.unwrap();
    let (place, key) = bucket.line().of(&region("spain")).unwrap();
    let (_, seen) = read(&place, &key).await.unwrap().unwrap();
    first.finish().await;
    take(&second, &["spain"], NONE).await.unwrap();
    let by = Header::new(&crate::task::RunId::named("third"), "lock break spain");
    let error = remove(&place, &key, &seen, by, pending()).await.unwrap_err();
    assert_eq!(error.to_string(), "another run has taken the region since");
    sleep(BEAT * 2).await;
    fence.pass(ANYWHERE).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_is_interrupted_leaves_nothing_to_wait_for() {
    let bucket = Bucket::reliable();
    let (first, _) = process(&bucket, "first");
    let (second, _) = process(&bucket, "second");
    take(&first, &["spain"], NONE).await.unwrap();
    first.stop();
    let (place, key) = bucket.line().of(&region("spain")).unwrap();
    let (_, seen) = read(&place, &key).await.unwrap().unwrap();
    let by = Header::new(&crate::task::RunId::named("third"), "lock break spain");
    assert_eq!(remove(&place, &key, &seen, by, async {}).await.unwrap(), Removed::Silent);
    assert!(!take(&second, &["spain"], NONE).await.unwrap(), "nothing was waited for");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_under_way_does_not_keep_a_returned_lease_in_force() {
    let bucket = Bucket::reliable();
    let (first, fence) = process(&bucket, "first");
    let step = StepId::global(Phase::Apps, "manifests");
    // The renewals of the bucket take up to 200 ms: the returns meet them in all states.
    for offset in 0..40 {
        lend(&first, &step).await;
        sleep(BEAT.saturating_sub(Duration::from_millis(100)) + Duration::from_millis(offset * 10)).await;
        first.unlend(&step).await;
        sleep(SILENCE + BEAT).await;
        fence.pass(ANYWHERE).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_seen_of_a_silent_holder_counts_for_the_next_attempt() {
    let bucket = Bucket::reliable();
    let (first, _) = process(&bucket, "first");
    take(&first, &["spain"], NONE).await.unwrap();
    drop(first);
    let (second, _) = process(&bucket, "second");
    let started = Instant::now();
    for _ in 0..20 {
        let spain = [region("spain")];
        let attempt = second.take(&spain, NONE, drop);
        if tokio::time::timeout(Duration::from_secs(30), attempt).await.is_ok() {
            break;
        }
    }
    assert!(second.holds(&region("spain")));
    assert!(started.elapsed() < SILENCE + MARGIN + Duration::from_secs(5), "{:?}", started.elapsed());
}
