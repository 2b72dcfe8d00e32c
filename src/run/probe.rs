//! Reading steps without lock and journal: a probe changes nothing and starts no process, so it may run beside
//! another run.

use std::{path::PathBuf, time::Duration};

use jiff::Timestamp;

use super::{Exit, Failure, Session, owner::Owner};
use crate::{
    engine::{self, Budget, Facts, Graph, Orders, Outcome},
    step::{Action, Events, StepId},
    task::retry,
};

/// A person waits for a probe, so it does not wait for the end of an outage and returns within a minute, with an error
/// if it must.
const PROBE: Budget = Budget {
    retries: retry::Policy {
        patience: Duration::from_secs(1),
        first_delay: Duration::from_millis(200),
        longest_delay: Duration::from_secs(1),
    },
    deadline: Duration::from_secs(60),
};

impl Session {
    /// Reads every step of a graph.
    ///
    /// # Errors
    /// When interrupted.
    pub async fn probe(&self, graph: &Graph) -> Result<Outcome, Failure> {
        self.probe_steps(graph, graph.ids().cloned()).await
    }

    /// Reads the given steps and everything they depend on.
    ///
    /// # Errors
    /// When interrupted.
    pub async fn probe_steps(
        &self,
        graph: &Graph,
        steps: impl IntoIterator<Item = StepId>,
    ) -> Result<Outcome, Failure> {
        let steps = graph.with_ancestors(steps).into_iter();
        let actions = steps.map(|step| (step, Action::Read)).collect();
        let orders = Orders { budget: PROBE, logs: self.probe_logs(), ..self.orders(actions) };
        let mut owner = Owner::new(None, None, Timestamp::now);
        let (events, inbox) = Events::channel();
        let mut signals = self.signals.lock().await;
        let (world, cancel) = (self.world.clone(), owner.cancel.clone());
        let engine = engine::run(graph, &orders, Facts::default(), world, events, cancel);
        let outcome = owner.drive(engine, inbox, &mut *signals).await;
        if owner.cancel.soft.is_cancelled() {
            // An incomplete probe must not be taken for an empty account.
            return Err(Failure::new(Exit::Interrupted, "interrupted: nothing was started"));
        }
        Ok(outcome)
    }

    /// The failures of a probe, for standard error.
    pub fn probe_failures(&self, outcome: &Outcome) -> String {
        self.failures_with_logs(self.probe_logs(), false, outcome)
    }

    /// Each probe overwrites the logs of the one before: a probe leaves no run behind.
    fn probe_logs(&self) -> PathBuf {
        self.store.path().join("probe")
    }
}
