//! Plans a stack, judges the plan, and applies exactly that plan.

use std::sync::{PoisonError, atomic::Ordering};

use tempfile::TempPath;

use super::{
    super::{
        command::{Backend, Terraform},
        data_key,
        judge::{judge, judge_messages},
        kind::Kind,
        message::{Diagnostic, Message},
        orphans::{self, Import, Search},
        progress::Progress,
    },
    Stack,
    interrupted::{Unfinished, unfinished},
    run,
};
use crate::{
    aws,
    step::{Check, Claim, Class, Context, Error, ErrorExt, Result},
};

/// What `apply` does.
#[derive(Debug)]
pub enum Planned {
    /// A judged plan. Exactly this plan is applied.
    Plan { file: TempPath, operations: u32, imports: Vec<Import> },
    /// An earlier run changed resources and could not save the state. It has to be pushed before anything can be
    /// planned: a plan without it would create the same resources again.
    UnsavedState,
    /// An earlier run was interrupted while AWS created these.
    Unfinished(Vec<Unfinished>),
}

/// A plan that has changes.
pub(super) struct Drawn {
    pub(super) messages: Vec<Message>,
    /// The plan as JSON, if it was read already. It may contain secrets: it is never written to the log or to disk.
    pub(super) shown: Option<String>,
    /// What it adopts because an apply that died created it.
    pub(super) imports: Vec<Import>,
}

impl<K: Kind> Stack<K> {
    /// Writes a plan; `None` if it has no changes.
    pub(super) async fn plan_to(
        &self,
        terraform: &Terraform<'_>,
        file: &TempPath,
        more: &[String],
    ) -> Result<Option<Vec<Message>>> {
        let args = ["plan", "-json", "-input=false", "-detailed-exitcode"];
        let command =
            terraform.command(args)?.arg(format!("-out={}", file.display())).args(more).codes(&[0, 2]);
        terraform.cx.progress("planning");
        let mut messages = Vec::new();
        let result = terraform.run(command, |message| messages.push(message.clone())).await?;
        result.check()?;
        // A teardown also plans to find what a dead apply created.
        if terraform.cx.world.teardown.is_none() {
            self.warn(terraform.cx, &result.diagnostics);
        }
        Ok((result.exit.code() != Some(0)).then_some(messages))
    }

    /// Reports the failed checks of a plan, each once: a run may plan several times.
    fn warn(&self, cx: &Context, diagnostics: &[Diagnostic]) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        for (warning, fix) in diagnostics.iter().filter_map(Diagnostic::failed_check) {
            if warned.insert(warning.to_owned()) {
                cx.warn(warning, fix);
            }
        }
    }

    /// The plan's JSON may contain secrets: it is never written to the log or to disk.
    pub(super) async fn show(&self, terraform: &Terraform<'_>, file: &TempPath) -> Result<String> {
        terraform.cx.progress("reading the plan");
        terraform.command(["show", "-json"])?.arg(&**file).output(terraform.cx).await
    }

    /// Writes a plan that adopts what an apply that died created; `None` if it has no changes.
    pub(super) async fn draw(
        &self,
        terraform: &Terraform<'_>,
        file: &TempPath,
        variables: &[String],
        deletes: bool,
    ) -> Result<Option<Drawn>> {
        // The data key that outlived an earlier deployment, or that an apply that died had given its alias already.
        let mut kept =
            if K::HAS_DATA_KEY { data_key::kept(terraform.cx, &self.region).await? } else { Vec::new() };
        let is_deleted =
            deletes && !kept.is_empty() && !data_key::must_outlive(terraform.cx, &self.region).await?;
        let adopted = if is_deleted { std::mem::take(&mut kept) } else { Vec::new() };
        let mut search = Search::start(terraform, &self.region, K::NAME, kept, adopted, deletes)?;
        loop {
            let Some(messages) = self.plan_to(terraform, file, variables).await? else { return Ok(None) };
            let Some(search) = &mut search else {
                return Ok(Some(Drawn { messages, shown: None, imports: Vec::new() }));
            };
            let shown = self.show(terraform, file).await?;
            if !search.more(terraform, &shown).await? {
                let imports = std::mem::take(&mut search.imports);
                return Ok(Some(Drawn { messages, shown: Some(shown), imports }));
            }
        }
    }

    async fn plan(&self, terraform: &Terraform<'_>, variables: &[String]) -> Result<Check<Planned>> {
        let cx = terraform.cx;
        terraform.prepare().await?;
        let file = terraform.folder.plan_file()?;
        let Some(drawn) = self.draw(terraform, &file, variables, false).await? else {
            orphans::release(terraform)?;
            return self.clean(terraform).await;
        };
        let judged = if let Some(judged) = judge_messages(&drawn.messages) {
            judged
        } else {
            let shown = match drawn.shown {
                Some(shown) => shown,
                None => self.show(terraform, &file).await?,
            };
            let state = self.state(cx, terraform.backend).await?;
            let complete = state.is_some_and(|state| state.outputs::<K::Fact>().is_ok());
            let unfinished = if complete { Vec::new() } else { unfinished(&shown)? };
            if !unfinished.is_empty() {
                let line =
                    |one: &Unfinished| format!("finish {}, whose creation was interrupted", one.address);
                let lines = unfinished.iter().map(line).collect();
                return Ok(Check::Change { lines, change: Planned::Unfinished(unfinished) });
            }
            judge(&shown, &cx.world.allow_replace, complete)?
        };
        judged.check()?;
        // Terraform also ends with 2 when all that an apply would do is to read data.
        if judged.lines.is_empty() {
            orphans::release(terraform)?;
            return self.clean(terraform).await;
        }
        let change = Planned::Plan { file, operations: judged.operations, imports: drawn.imports };
        Ok(Check::Change { lines: judged.lines, change })
    }

    /// Plans with the variables that come from these facts.
    pub(super) async fn plan_for(
        &self,
        terraform: &Terraform<'_>,
        input: &K::Input,
    ) -> Result<Check<Planned>> {
        let Terraform { cx, folder, .. } = terraform;
        let doing = || format!("plan {}", self.named());
        let unchanged = self.unchanged(cx).await.doing(doing())?;
        let variables = self.variables(cx, folder, Some(input), unchanged)?;
        self.plan(terraform, &variables).await.doing(doing())
    }

    /// Plans again after something else had to be done first, and applies that plan.
    pub(super) async fn plan_and_apply(&self, terraform: &Terraform<'_>, input: &K::Input) -> Result<()> {
        match self.plan_for(terraform, input).await? {
            Check::Change { change: Planned::Plan { file, operations, imports }, .. } => {
                self.apply_plan(terraform, file, operations, &imports).await
            }
            Check::Change { .. } | Check::Clean(_) => Ok(()),
        }
    }

    pub(super) async fn apply_plan(
        &self,
        terraform: &Terraform<'_>,
        file: TempPath,
        operations: u32,
        imports: &[Import],
    ) -> Result<()> {
        let cx = terraform.cx;
        let command = terraform.command(["apply", "-json", "-input=false"])?.arg(&*file);
        let cluster = cx.world.config.name_in(&self.region.name);
        K::before_apply(self.scope(cx, &cluster)).await?;
        self.keep_configuration(cx).await?;
        let aws = cx.world.aws.in_region(&self.region.aws_region);
        for group in imports.iter().filter(|one| one.id.starts_with("sg-")) {
            aws::orphans::close(&aws, &group.id).await?;
        }
        let Backend { bucket, key, .. } = terraform.backend.clone();
        let claim = Claim::Apply { bucket, key, since: jiff::Timestamp::now().to_string() };
        cx.claim(&claim).await?;
        let said = match run(terraform, command, Progress::apply(operations)).await {
            // Somebody else holds the lock, so terraform was not started.
            Err(error) if error.class == Class::Conflict => {
                cx.release(&claim);
                return Err(error);
            }
            // Without an exit, it is not known whether terraform has saved its state: the claim stays.
            said => said?,
        };
        if said.exit.is_good() {
            orphans::release(terraform)?;
        } else if said.knows_all() && terraform.folder.unsaved_state().is_none() {
            // What an earlier apply left may not be in the state. In `errored.tfstate` the state would be lost with this
            // machine, and the claim is in the bucket as well.
            cx.release(&claim);
        }
        let applied = said.check().map_err(|error| {
            // The answer to a creation may have been lost, and the name is taken by what it created: the next attempt
            // looks for it. If it is somebody else's, the second failure is final.
            let again = error.class == Class::Conflict && !self.started_over.swap(true, Ordering::Relaxed);
            if again { Error { class: Class::Transient, ..error } } else { error }
        });
        applied.doing(format!("apply {}", self.named()))
    }

    async fn clean(&self, terraform: &Terraform<'_>) -> Result<Check<Planned>> {
        let state = self.state(terraform.cx, terraform.backend).await?;
        let count = state.map_or(0, |state| state.resources);
        Ok(Check::Clean(format!("{count} resources")))
    }
}
