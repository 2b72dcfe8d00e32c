use std::time::Duration;

use clap::Args;

use super::{Common, Exit, Failure, rollout};
use crate::{
    engine::{Facts, Outcome},
    plan,
    report::{self, Output},
    run::{Session, exit},
    step::{Action, Event, Phase, StepId, Verdict},
};

/// Show the graph and what each step would change, without changing anything
#[derive(Debug, Args)]
pub struct Plan {
    #[command(flatten)]
    common: Common,
    /// Exit with 3 if anything would change
    #[arg(long)]
    detailed_exitcode: bool,
}

impl Plan {
    pub async fn run(self) -> Result<Exit, Failure> {
        let session = self.common.open("plan", &Phase::ALL, Vec::new(), Duration::ZERO, false).await?;
        let _lock = session.lock().await?;
        let plan = plan::build(session.config(), &rollout::shape(&session).await?);
        let orders = session.orders(session.actions(&plan.graph, Action::Check));
        let outcome = session.execute(&plan.graph, &orders, Facts::default()).await?;
        eprint!("{}", session.failures(&orders, &outcome));
        if session.output != Output::Json {
            print!("{}", text(&session, &plan, &outcome));
        }
        for orphan in session.orphans().await? {
            match session.output {
                Output::Json => println!("{}", report::json_line(Event::OrphanFound { orphan })?),
                _ => println!("! orphan {}", orphan.line()),
            }
        }
        Ok(match exit::of_read_chosen(outcome.verdicts.iter(), |step| session.is_chosen(step)) {
            Exit::Differs if !self.detailed_exitcode => Exit::Ok,
            Exit::Unknown => exit::of_changes(outcome.verdicts.iter()),
            other => other,
        })
    }
}

fn text(session: &Session, plan: &plan::Plan, outcome: &Outcome) -> String {
    let mut out = String::new();
    for (step, verdict) in outcome.verdicts.iter().filter(|(step, _)| session.is_chosen(step)) {
        let (sign, lines): (&str, Vec<String>) = match verdict {
            Verdict::Unchanged { summary } | Verdict::Changed { summary } | Verdict::Deleted { summary } => {
                (" ", vec![summary.clone()])
            }
            Verdict::Missing { summary } => ("+", vec![summary.clone()]),
            Verdict::Differs { changes, .. } => ("~", changes.clone()),
            Verdict::Skipped { because } => ("?", vec![format!("unknown until {because} has run")]),
            Verdict::Failed { chain, .. } => ("✗", vec![chain.join(": ")]),
            Verdict::Cancelled => ("-", vec!["cancelled".to_owned()]),
        };
        let after: Vec<String> = plan.graph.needs(step).iter().map(StepId::to_string).collect();
        let after = if after.is_empty() { String::new() } else { format!("   after {}", after.join(", ")) };
        out.push_str(&format!("{sign} {step}{after}\n"));
        for line in lines.iter().filter(|line| !line.is_empty()) {
            out.push_str(&format!("      {line}\n"));
        }
    }
    out
}
