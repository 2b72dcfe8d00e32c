//! What a run notices of leases, with the clock of a bucket that always answers.

use tokio::time::{Instant, sleep};

use super::{
    model::{Bucket, Line, Machinery},
    *,
};
use crate::{
    step::{Phase, StepId},
    task::Fence,
};

const NONE: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_mins(60);

fn region(name: &str) -> RegionName {
    name.parse().unwrap()
}

async fn take(leases: &Leases<Line>, names: &[&str], patience: Duration) -> Result<bool, Refused> {
    let regions: Vec<RegionName> = names.iter().map(|name| region(name)).collect();
    leases.take(&regions, patience, drop).await.unwrap()
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
    assert!(
        refused.starts_with("region `spain` is held by run first (`paydeploy up` on first, process "),
        "{refused}"
    );
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
    fence.pass().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_broken_lease_stops_its_run_before_its_next_effect() {
    let bucket = Bucket::reliable();
    let (first, fence) = process(&bucket, "first");
    take(&first, &["spain"], NONE).await.unwrap();
    bucket.break_lease();
    assert_eq!(fence.closed().await, "the lease of region `spain` was broken");
    assert!(fence.pass().is_err());
}

#[tokio::test(start_paused = true)]
async fn the_hub_is_lent_to_the_steps_of_one_run_at_a_time() {
    let bucket = Bucket::reliable();
    let (mexico, _) = process(&bucket, "mexico");
    let (chile, _) = process(&bucket, "chile");
    let (one, other) = (StepId::global(Phase::Apps, "manifests"), StepId::global(Phase::Apps, "other"));
    assert!(!mexico.lend(&one, NONE, drop).await.unwrap().unwrap());
    assert!(!mexico.lend(&other, NONE, drop).await.unwrap().unwrap());
    mexico.unlend(&one).await;
    let (waited, ()) = tokio::join!(async { chile.lend(&one, NONE, drop).await.unwrap().unwrap() }, async {
        sleep(Duration::from_secs(30)).await;
        mexico.unlend(&other).await;
    });
    assert!(waited, "what it has read may be outdated");
    chile.unlend(&one).await;
    assert!(!mexico.lend(&one, NONE, drop).await.unwrap().unwrap(), "it was returned");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_holds_the_hub_lends_it_without_returning_it() {
    let bucket = Bucket::reliable();
    let (all, _) = process(&bucket, "all");
    let (other, _) = process(&bucket, "other");
    let step = StepId::global(Phase::Apps, "manifests");
    take(&all, &["spain", "mexico"], NONE).await.unwrap();
    assert!(!all.lend(&step, NONE, drop).await.unwrap().unwrap());
    all.unlend(&step).await;
    assert_eq!(take(&other, &["spain"], NONE).await.unwrap_err().region, region("spain"));
}
