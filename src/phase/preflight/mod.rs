//! The phase `preflight`: checks the account, regions and what they offer, zones, access to the clusters, tools, commit
//! and variables.
//!
//! Without these checks, a run would fail many minutes later. A check that only some phases need is skipped if the run
//! includes none of them. A run of the preflight alone does all checks.

mod account;
mod administrators;
mod checkout;
mod delegation;
mod egress;
mod git;
mod need;
mod offer;
mod problems;
mod regional;
mod session;
mod shortage;
mod stack;
mod variables;
mod zones;

pub use git::{Ancestry, ancestry};

use std::collections::BTreeSet;

use crate::{
    config::Config,
    container::Engine,
    fact,
    step::{Check, Context, Error, Phase, Result, Seen, Step, StepId},
};

/// Determines the deploying principal and the commit to release. Changes nothing.
pub struct Preflight;

/// The step that checks everything before the run starts.
pub fn preflight(_config: &Config) -> Preflight {
    Preflight
}

impl Step for Preflight {
    type Input = ();
    type Fact = fact::Preflight;
    type Change = ();

    fn id(&self) -> StepId {
        StepId::global(Phase::Preflight, "account")
    }

    async fn read(&self, cx: &Context, _input: &Self::Input) -> Result<Seen<Self::Fact>> {
        let (deployer, mut commit) = tokio::join!(account::deployer(cx), head(cx));
        if cx.world.teardown.is_some() {
            // A teardown releases nothing, so it also works where Git does not.
            commit = commit.or_else(|_| Ok(fact::Commit::unknown()));
        }
        let (deployer_arn, commit) = match (deployer, commit) {
            (Ok(deployer), Ok(commit)) => (deployer, commit),
            (deployer, commit) => {
                let problems = deployer.err().into_iter().chain(commit.err()).collect();
                return Err(problems::together(problems).expect("one of the two failed"));
            }
        };
        let detail = format!("account {}, commit {}", cx.world.config.account, commit.short());
        Ok(Seen::ok(fact::Preflight { deployer_arn, commit }, detail))
    }

    async fn check(&self, cx: &Context, _input: &Self::Input) -> Result<Check<Self::Change>> {
        let (mut found, account, commit, ()) =
            tokio::join!(unfit_tools(cx), account(cx), commit(cx), engine(cx));
        found.extend(account);
        found.extend(commit);
        // A file that cannot be read is a problem of both the variables and what they need.
        for problem in variables::problems(&cx.world.config) {
            if !found.iter().any(|other| other.to_string() == problem.to_string()) {
                found.push(problem);
            }
        }
        match problems::together(found) {
            Some(error) => Err(error),
            None => Ok(Check::Clean(format!("account {}", cx.world.config.account))),
        }
    }

    async fn apply(&self, _cx: &Context, _input: &Self::Input, _change: Self::Change) -> Result<()> {
        Ok(())
    }

    async fn destroy(&self, _cx: &Context, _input: Option<&Self::Input>) -> Result<Option<String>> {
        Ok(None)
    }
}

/// Whether the run needs a check that matters to these phases only.
///
/// A run without phases, or of the preflight alone, does all checks.
fn concerns(run: &BTreeSet<Phase>, phases: &[Phase]) -> bool {
    let mut others = run.iter().filter(|phase| **phase != Phase::Preflight).peekable();
    others.peek().is_none() || others.any(|phase| phases.contains(phase))
}

/// The checked-out commit, without starting Git where that is possible.
pub async fn head(cx: &Context) -> Result<fact::Commit> {
    match checkout::commit(&cx.world.config.root) {
        Some(id) => Ok(fact::Commit { id }),
        // Git also words the error.
        None => git::head(cx).await,
    }
}

async fn unfit_tools(cx: &Context) -> Vec<Error> {
    let unfit = cx.world.tools.unfit().await;
    unfit.into_iter().map(|tool| Error::permanent(tool.problem).with_hint(tool.fix)).collect()
}

/// Warns if no image can be built. This is not an error, because a registry may already have the image.
async fn engine(cx: &Context) {
    if concerns(&cx.world.phases, &[Phase::Docker])
        && let Err(error) = Engine::from_env().await
    {
        let fix = error.hint.clone().unwrap_or_default();
        cx.warn(
            format!(
                "{error}; without it no image can be built, so the run fails unless a region has the image"
            ),
            fix,
        );
    }
}

async fn account(cx: &Context) -> Vec<Error> {
    // With wrong credentials every other check would fail for the same reason.
    let deployer = match account::deployer(cx).await {
        Ok(deployer) => deployer,
        Err(error) => return vec![error],
    };
    session::warn(cx);
    let (mut found, zones, egress) = tokio::join!(regions(cx), zones::problems(cx), egress::problems(cx));
    found.extend(zones);
    found.extend(egress);
    found.extend(administrators::problems(cx, &deployer));
    found
}

/// The regions that cannot be used, and what the others do not offer.
async fn regions(cx: &Context) -> Vec<Error> {
    let (mut found, usable) = account::regions(cx).await;
    found.extend(regional::problems(cx, &usable).await);
    found
}

async fn commit(cx: &Context) -> Vec<Error> {
    let commit = match git::head(cx).await {
        Ok(commit) => commit,
        Err(error) => return vec![error],
    };
    // Sequentially, because they share the step's log file.
    let checks = [git::clean(cx).await, git::has_chart(cx, &commit).await, git::is_pushed(cx, &commit).await];
    checks.into_iter().filter_map(Result::err).collect()
}

#[cfg(test)]
mod tests {
    use super::{Phase, concerns};

    #[test]
    fn a_run_of_the_preflight_alone_does_all_checks() {
        for alone in [&[][..], &[Phase::Preflight]] {
            assert!(concerns(&alone.iter().copied().collect(), &[Phase::Docker]), "{alone:?}");
        }
        let secrets = [Phase::Preflight, Phase::Secrets].into();
        assert!(!concerns(&secrets, &[Phase::Docker]), "a run without images needs no engine");
        assert!(concerns(&secrets, &[Phase::Docker, Phase::Secrets]));
    }
}
