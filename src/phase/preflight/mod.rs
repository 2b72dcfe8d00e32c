//! The look at the world that comes before all phases: account, regions, zones, the way to the clusters, tools,
//! commit, variables.

mod account;
mod delegation;
mod egress;
mod git;
mod problems;
mod session;
mod variables;
mod zones;

use crate::{
    config::Config,
    container::Engine,
    fact,
    step::{Check, Context, Error, Phase, Result, Seen, Step, StepId},
};

/// Who runs this, and what is released. Changes nothing.
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
        let (deployer, commit) = tokio::join!(account::deployer(cx), git::head(cx));
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
        found.extend(variables::problems(&cx.world.config));
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

async fn unfit_tools(cx: &Context) -> Vec<Error> {
    let unfit = cx.world.tools.unfit().await;
    unfit.into_iter().map(|tool| Error::permanent(tool.problem).with_hint(tool.fix)).collect()
}

/// Warns where no image can be built: one may be there already.
async fn engine(cx: &Context) {
    if cx.world.phases.contains(&Phase::Docker)
        && let Err(error) = Engine::from_env().await
    {
        let fix = error.hint.clone().unwrap_or_default();
        cx.warn(format!("{error}; an image that no region has could not be built"), fix);
    }
}

async fn account(cx: &Context) -> Vec<Error> {
    // without the right credentials every other question would fail for the same reason
    if let Err(error) = account::deployer(cx).await {
        return vec![error];
    }
    session::look(cx);
    let (mut found, zones, egress) =
        tokio::join!(account::regions(cx), zones::problems(cx), egress::problems(cx));
    found.extend(zones);
    found.extend(egress);
    found
}

async fn commit(cx: &Context) -> Vec<Error> {
    let commit = match git::head(cx).await {
        Ok(commit) => commit,
        Err(error) => return vec![error],
    };
    // one after the other: they share the step's log
    let checks = [git::clean(cx).await, git::has_chart(cx, &commit).await, git::is_pushed(cx, &commit).await];
    checks.into_iter().filter_map(Result::err).collect()
}
