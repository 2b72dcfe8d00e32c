//! Decides which existing resource a plan adopts, and waits until AWS has finished creating it.

use std::{collections::BTreeSet, time::Duration};

use super::{Import, Search};
use crate::{
    aws::{
        inventory,
        orphans::{Candidate, Query, Standing},
    },
    step::{Error, ErrorExt, Poll, Result},
};

/// How far the clock of this machine may be ahead of AWS's. AWS refuses a request that is signed with a clock that differs
/// by more than five minutes, so a run with a worse clock cannot have created anything.
const CLOCKS: i64 = 5 * 60;

/// Between two reads of a resource that AWS is creating.
const INTERVAL: Duration = Duration::from_secs(5);
/// A database in two zones takes up to 40 minutes, and everything else less.
const DEADLINE: Duration = Duration::from_mins(60);

/// What is known about the candidates for one address.
#[derive(Debug, Default, PartialEq, Eq)]
struct Choice {
    adopted: Option<Candidate>,
    /// Ours as well, but created later: the address is taken.
    doubles: Vec<Candidate>,
    /// Not proved ours, and why.
    foreign: Vec<(Candidate, String)>,
}

impl Search<'_> {
    /// The id of the existing resource that a plan adopts at an address. `known` are the ids that are taken.
    pub(super) async fn existing(
        &mut self,
        address: &str,
        query: &Query,
        known: &mut BTreeSet<String>,
    ) -> Result<Option<String>> {
        let found = self.finder.find(query).await?;
        let choice = choose(found, &self.finder.owner, self.since.as_second(), known);
        for (one, why) in &choice.foreign {
            self.report(one, format!("`{}` exists and is not adopted as `{address}`: {why}", one.id));
        }
        for one in &choice.doubles {
            self.report(one, format!("`{}` exists as well as the `{address}` that is adopted", one.id));
        }
        let Some(one) = choice.adopted else { return Ok(None) };
        // Deleted while this waited: then it is created again.
        let Some(one) = self.ready(address, query, one).await? else { return Ok(None) };
        known.extend([Some(one.id.clone()), one.arn].into_iter().flatten());
        Ok(Some(one.id))
    }

    /// Reports what an interrupted replacement has created: its address is taken by what it was to replace.
    pub(super) async fn report_successors(
        &mut self,
        address: &str,
        query: &Query,
        known: &BTreeSet<String>,
    ) -> Result<()> {
        let found = self.finder.find(query).await?;
        let choice = choose(found, &self.finder.owner, self.since.as_second(), known);
        for one in choice.adopted.iter().chain(&choice.doubles) {
            self.report(one, format!("`{}` was to replace `{address}`, which another one will", one.id));
        }
        Ok(())
    }

    /// Reports what cannot be adopted at an address, because the state still has what was there before.
    pub(super) fn report_passed(&mut self, one: &Import) {
        let Import { address, id } = one;
        let warning =
            format!("`{id}` exists and is not adopted as `{address}`, of which the state has a deleted one");
        self.report(&Candidate { id: id.clone(), ..Candidate::default() }, warning);
    }

    fn report(&mut self, one: &Candidate, warning: String) {
        // Each round finds it again.
        if self.reported.insert(one.id.clone()) {
            let fix = format!("if nothing needs it: {}", self.delete(one));
            self.cx.warn(warning, fix);
        }
    }

    fn delete(&self, one: &Candidate) -> String {
        inventory::command(one.arn.as_deref().unwrap_or(&one.id), self.finder.aws_region)
    }

    /// Waits until AWS has created a resource; `None` if it was deleted meanwhile. Until then its attributes are not
    /// complete, and it can be neither changed nor deleted.
    async fn ready(&self, address: &str, query: &Query, one: Candidate) -> Result<Option<Candidate>> {
        let what = format!("`{}`, which a run that died began to create", one.id);
        let id = one.id.clone();
        let mut first = Some(one);
        let waited = self.cx.wait(&what, INTERVAL, DEADLINE, || {
            let seen = first.take();
            async {
                let one = match seen {
                    Some(one) => Some(one),
                    None => self.finder.find(query).await?.into_iter().find(|one| one.id == id),
                };
                let Some(one) = one else { return Ok(Poll::Ready(None)) };
                match &one.standing {
                    Standing::Ready => Ok(Poll::Ready(Some(one))),
                    Standing::Pending(status) => Ok(Poll::Pending(status.clone())),
                    // It can be deleted, and must not keep the rest from being deleted.
                    Standing::Failed(_) if self.deletes => Ok(Poll::Ready(Some(one))),
                    Standing::Failed(status) => {
                        let message =
                            format!("`{id}`, which a run that died began to create, is in status {status}");
                        let fix =
                            format!("delete it, then run the same command again: {}", self.delete(&one));
                        Err(Error::permanent(message).with_hint(fix))
                    }
                }
            }
        });
        waited.await.doing(format!("adopt `{address}`"))
    }
}

/// Chooses among the candidates. `since` is when the apply that died had started, in seconds since 1970.
fn choose(found: Vec<Candidate>, owner: &[(&str, &str)], since: i64, known: &BTreeSet<String>) -> Choice {
    let mut choice = Choice::default();
    let mut ours = Vec::new();
    for one in found {
        if known.contains(&one.id) || one.arn.as_ref().is_some_and(|arn| known.contains(arn)) {
            continue;
        }
        match doubt(&one, owner, since) {
            Some(why) => choice.foreign.push((one, why)),
            None => ours.push(one),
        }
    }
    // Without a time, the order is at least the same in every round and run.
    ours.sort_by(|one, other| (one.created, &one.id).cmp(&(other.created, &other.id)));
    let mut ours = ours.into_iter();
    choice.adopted = ours.next();
    choice.doubles = ours.collect();
    choice
}

/// Why a candidate is not proved ours.
fn doubt(one: &Candidate, owner: &[(&str, &str)], since: i64) -> Option<String> {
    if let Some(tags) = &one.tags {
        let differs = |(key, value): &&(&str, &str)| tags.get(*key).map(String::as_str) != Some(*value);
        if let Some((key, value)) = owner.iter().find(differs) {
            return Some(format!("it does not have the tag {key}={value}"));
        }
    }
    let created = one.created.filter(|created| *created < since.saturating_sub(CLOCKS))?;
    let created = jiff::Timestamp::from_second(created).map(|time| time.to_string()).unwrap_or_default();
    Some(format!("it was created on {created}, before the run that died"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: [(&str, &str); 3] = [("Project", "pay"), ("Region", "spain"), ("Stack", "foundation")];
    const SINCE: i64 = 1_800_000_000;

    fn candidate(id: &str, created: Option<i64>) -> Candidate {
        let tags = OWNER.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Candidate { id: id.to_owned(), created, tags: Some(tags), ..Candidate::default() }
    }

    fn chosen(found: Vec<Candidate>, known: &[&str]) -> Choice {
        choose(found, &OWNER, SINCE, &known.iter().map(|id| (*id).to_owned()).collect())
    }

    #[test]
    fn a_resource_with_our_tags_that_is_in_no_state_is_adopted() {
        let choice = chosen(vec![candidate("vpc-1", None)], &[]);
        assert_eq!(choice.adopted.unwrap().id, "vpc-1");
        assert!(choice.doubles.is_empty() && choice.foreign.is_empty());
    }

    #[test]
    fn what_is_in_the_state_by_its_id_or_its_arn_is_left_alone_without_a_word() {
        let named = Candidate { arn: Some("arn:key".to_owned()), ..candidate("key", None) };
        assert_eq!(chosen(vec![candidate("vpc-1", None), named], &["vpc-1", "arn:key"]), Choice::default());
    }

    #[test]
    fn another_stacks_resource_is_only_reported() {
        let mut other = candidate("vpc-1", None);
        other.tags.as_mut().unwrap().insert("Stack".to_owned(), "cluster".to_owned());
        let choice = chosen(vec![other], &[]);
        assert_eq!((choice.adopted, choice.foreign.len()), (None, 1));
        assert_eq!(choice.foreign[0].1, "it does not have the tag Stack=foundation");
    }

    #[test]
    fn what_existed_before_the_apply_is_only_reported_within_the_difference_of_two_clocks() {
        let choice = chosen(vec![candidate("old", Some(SINCE - CLOCKS - 1))], &[]);
        assert_eq!(choice.adopted, None);
        assert!(choice.foreign[0].1.ends_with("before the run that died"), "{:?}", choice.foreign);
        assert!(chosen(vec![candidate("new", Some(SINCE - CLOCKS))], &[]).adopted.is_some());
    }

    #[test]
    fn of_two_candidates_the_older_one_is_adopted_and_the_other_reported() {
        let choice = chosen(vec![candidate("a", Some(SINCE + 60)), candidate("b", Some(SINCE + 10))], &[]);
        assert_eq!(choice.adopted.unwrap().id, "b");
        assert_eq!(choice.doubles.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn a_relation_of_two_known_resources_needs_no_tags() {
        let route = Candidate { id: "rtb-1_0.0.0.0/0".to_owned(), ..Candidate::default() };
        assert_eq!(chosen(vec![route.clone()], &[]).adopted, Some(route));
    }
}
