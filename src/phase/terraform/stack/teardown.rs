//! Deletes a stack: everything in its state, and what an apply that died created outside of it.
//!
//! 1. What is in no state is searched for, as before an apply, and judged as if it were in the state.
//! 2. The deletion of the state is planned and judged. Nothing has been changed so far.
//! 3. Adopting changes the state and makes the plan stale, so it is planned and judged again, until nothing is left to adopt.
//! 4. The data key is taken out of the state where it must outlive the stack. Then exactly the last plan is applied.

use std::{
    collections::BTreeSet,
    sync::{PoisonError, atomic::Ordering},
};

use serde_json::Map;
use tempfile::TempPath;

use super::{
    super::{
        changes::{Action, ResourceChange, changes},
        command::{DESTROY, Terraform},
        data_key,
        deletion::{self, Deletion, Lock},
        kind::Kind,
        lock,
        orphans::{self, Import},
        progress::Progress,
        unlock::unlock,
    },
    Stack, run,
};
use crate::{
    aws::{certificates::lasting_users, state_file},
    step::{Class, Context, Error, Result},
};

/// A judged plan of a deletion. Exactly this plan is applied.
#[derive(Debug)]
pub(super) struct Doomed {
    /// `None` if the state has no resources yet, because all of them have to be adopted first.
    file: Option<TempPath>,
    pub(super) resources: u32,
    /// What is in no state and has to be adopted before it can be deleted.
    pub(super) adopted: Vec<Import>,
    locks: Vec<Lock>,
    /// The data key was left out of the judgement, because it outlives the stack.
    pub(super) keeps_key: bool,
}

impl<K: Kind> Stack<K> {
    /// What an apply that died created and a deletion would miss, with the plan that adopts it; `None` if nothing.
    async fn find_orphans(
        &self,
        terraform: &Terraform<'_>,
        input: Option<&K::Input>,
    ) -> Result<Option<(Vec<Import>, String)>> {
        let Terraform { cx, folder, backend } = *terraform;
        self.unsearched.store(false, Ordering::Relaxed);
        if orphans::open(cx, backend).is_empty() {
            return Ok(None);
        }
        let search = async {
            terraform.prepare().await?;
            let variables = self.variables(cx, folder, input, self.unchanged(cx).await?)?;
            let file = folder.plan_file()?;
            self.draw(terraform, &file, &variables, true).await
        };
        match search.await {
            Ok(drawn) => {
                let found = drawn.and_then(|drawn| Some((drawn.imports, drawn.shown?)));
                Ok(found.filter(|(imports, _)| !imports.is_empty()))
            }
            // What the stack reads may be deleted already. The rest can still be deleted.
            Err(error) if error.class == Class::Permanent => {
                self.unsearched.store(true, Ordering::Relaxed);
                cx.warn(
                    format!("failed to search for what a run that died created: {error}"),
                    "delete what the inventory at the end lists as left behind",
                );
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes resources into the state, and with them only what they depend on.
    async fn adopt(
        &self,
        terraform: &Terraform<'_>,
        input: Option<&K::Input>,
        imports: &[Import],
    ) -> Result<()> {
        let Terraform { cx, folder, .. } = *terraform;
        let mut more = self.variables(cx, folder, input, self.unchanged(cx).await?)?.to_vec();
        more.extend(imports.iter().map(|one| format!("-target={}", one.address)));
        let file = folder.plan_file()?;
        if self.plan_to(terraform, &file, &more).await?.is_some() {
            let shown = self.show(terraform, &file).await?;
            let deletes = |one: &ResourceChange| one.change.actions.contains(&Action::Delete);
            if let Some(one) = changes(&shown)?.iter().find(|one| deletes(one)) {
                let message = format!(
                    "adopting what a run that died created would also replace `{}`, because the configuration has changed",
                    one.address
                );
                let fix = "run `paydeploy up` first, which judges it, or restore the configuration";
                return Err(Error::msg(Class::Refused, message).with_hint(fix));
            }
            cx.progress(format!("adopting {} resources that a run that died created", imports.len()));
            let command = terraform.command(["apply", "-json", "-input=false"])?.arg(&*file);
            run(terraform, command, Progress::apply(0)).await?.check()?;
        }
        folder.remove_imports()
    }

    /// Plans and judges the deletion of everything in the state; `None` if it has no resources.
    pub(super) async fn plan_deletion(
        &self,
        terraform: &Terraform<'_>,
        input: Option<&K::Input>,
    ) -> Result<Option<Doomed>> {
        let Terraform { cx, folder, backend } = terraform;
        terraform.save_state().await?;
        // After an adoption whose lock could not be deleted: it would be taken for another run's.
        lock::free(terraform, &cx.claims.open()).await?;
        // Reported before the first effect of the teardown: planning takes no lock, and applying would fail late.
        let aws = cx.world.aws.in_region(&self.region.aws_region);
        let holder = state_file::lock(&aws, &backend.bucket, &backend.key).await?;
        let orphans = if holder.is_none() { self.find_orphans(terraform, input).await? } else { None };
        let state = self.state(cx, backend).await?;
        // Under somebody else's lock it is not known whether there is anything to adopt.
        if holder.is_some() && (state.is_some() || !orphans::open(cx, backend).is_empty()) {
            return Err(lock::locked(terraform, holder));
        }
        if state.is_none() && orphans.is_none() {
            return Ok(None);
        }
        let allowed = cx.world.teardown.as_ref().map_or(&[][..], |teardown| &teardown.allow_delete);
        let mut all = Deletion::default();
        let mut adopted = Vec::new();
        if let Some((imports, shown)) = orphans {
            let addresses: BTreeSet<&str> = imports.iter().map(|one| one.address.as_str()).collect();
            all = deletion::judge_adopted(&shown, cx.world.config.profile, allowed, &addresses)?;
            adopted = imports;
        }
        let Some(state) = state else {
            all.check()?;
            let Deletion { resources, locks, .. } = all;
            return Ok(Some(Doomed { file: None, resources, adopted, locks, keeps_key: false }));
        };
        let keeps_key =
            K::HAS_DATA_KEY && !state.keys.is_empty() && data_key::must_outlive(cx, &self.region).await?;
        terraform.prepare().await?;
        let variables = self.variables(cx, folder, input, Map::new())?;
        let file = folder.plan_file()?;
        match self.plan_destroy_to(terraform, &file, &variables, true).await {
            // What the stack reads while it refreshes may be deleted already, such as its zone or its network.
            Err(error) if error.class == Class::Permanent => {
                cx.progress(format!("planning without a refresh, because it failed: {error}"));
                self.plan_destroy_to(terraform, &file, &variables, false).await.map_err(|_| error)?;
            }
            planned => planned?,
        }
        let shown = self.show(terraform, &file).await?;
        let kept = if keeps_key { &state.keys[..] } else { &[] };
        let Deletion { resources, refused, locks, certificates } =
            deletion::judge(&shown, cx.world.config.profile, allowed, kept)?;
        self.check_unused(cx, &certificates).await?;
        all.resources += resources;
        all.refused.extend(refused);
        all.locks.extend(locks);
        all.check()?;
        let Deletion { resources, locks, .. } = all;
        Ok(Some(Doomed { file: Some(file), resources, adopted, locks, keeps_key }))
    }

    /// Terraform would wait for twenty minutes until nothing uses a certificate, and then not name its users.
    async fn check_unused(&self, cx: &Context, certificates: &[String]) -> Result<()> {
        let aws = cx.world.aws.in_region(&self.region.aws_region);
        let cluster = cx.world.config.name_in(&self.region.name);
        for arn in certificates {
            let users = lasting_users(&aws, arn, &cluster).await;
            if !users.is_empty() {
                let message = format!("certificate `{arn}` is also used by\n{}", users.join("\n"));
                return Err(Error::permanent(message).with_hint(
                    "delete them or give them another certificate, then run the same command again (a load balancer of another account \
                     is that of a custom domain of API Gateway or Cognito; ACM may list what was deleted for some minutes)",
                ));
            }
        }
        Ok(())
    }

    /// Writes the plan of a deletion, without the state's lock. A plan that another run has made stale is refused when it
    /// is applied.
    async fn plan_destroy_to(
        &self,
        terraform: &Terraform<'_>,
        file: &TempPath,
        variables: &[String],
        refresh: bool,
    ) -> Result<()> {
        let args = ["plan", DESTROY, "-json", "-input=false"];
        let out = format!("-out={}", file.display());
        let command = terraform.command(args)?.arg(out).arg(format!("-refresh={refresh}")).args(variables);
        terraform.cx.progress("planning");
        terraform.run(command, |_| {}).await?.check()
    }

    pub(super) async fn delete_resources(
        &self,
        terraform: &Terraform<'_>,
        input: Option<&K::Input>,
    ) -> Result<Option<String>> {
        let cx = terraform.cx;
        // Taken, so that an attempt after a failed one plans and judges again.
        let planned = self.doomed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut doomed = match planned {
            Some(doomed) => Some(doomed),
            None => self.plan_deletion(terraform, input).await?,
        };
        let mut adopted = 0;
        while let Some(imports) =
            doomed.as_ref().map(|doomed| doomed.adopted.clone()).filter(|all| !all.is_empty())
        {
            // Adopting changes the state, which makes the plan of its deletion stale. It is dropped first, because that
            // deletes its file, and the new plan has the same path.
            drop(doomed.take());
            self.adopt(terraform, input, &imports).await?;
            adopted += imports.len();
            doomed = self.plan_deletion(terraform, input).await?;
            if doomed.as_ref().is_some_and(|doomed| doomed.adopted == imports) {
                return Err(Error::permanent(format!("adopting {} resources had no effect", imports.len()))
                    .with_hint("report it with the step's log"));
            }
        }
        let kept = if K::HAS_DATA_KEY { self.keep_data_key(terraform).await? } else { None };
        if kept.is_some() || doomed.as_ref().is_some_and(|doomed| doomed.keeps_key) {
            // Forgetting the key has changed the state, which makes an earlier plan stale. And if the key is not kept
            // after all, its deletion has not been judged. The earlier plan is dropped first, because that deletes its
            // file, and the new plan has the same path.
            drop(doomed.take());
            doomed = self.plan_deletion(terraform, input).await?;
        }
        let Some(doomed) = doomed else {
            self.settle(terraform)?;
            return Ok(kept);
        };
        for lock in &doomed.locks {
            unlock(cx, &self.region.aws_region, lock).await?;
        }
        let Some(file) = &doomed.file else { return Err(Error::permanent("the deletion was not planned")) };
        let command = terraform.command(["apply", "-json", "-input=false"])?.arg(&**file);
        let deleted = run(terraform, command, Progress::destroy(doomed.resources)).await;
        deleted.and_then(|said| said.check()).map_err(|error| {
            // Something was written to it after it was emptied, such as the last events of a trail: try again.
            let is_refilled = error.to_string().contains("NotEmpty");
            if is_refilled { Error { class: Class::Transient, ..error } } else { error }
        })?;
        self.settle(terraform)?;
        let outside =
            if adopted > 0 { format!(", {adopted} of them outside the state") } else { String::new() };
        let deleted = format!("{} resources deleted{outside}", doomed.resources);
        Ok(Some([Some(deleted), kept].into_iter().flatten().collect::<Vec<_>>().join("; ")))
    }

    /// Releases the claims of applies that died, if what they created was searched for.
    fn settle(&self, terraform: &Terraform<'_>) -> Result<()> {
        if self.unsearched.load(Ordering::Relaxed) { Ok(()) } else { orphans::release(terraform) }
    }

    /// Makes Terraform forget the region's data key where it must outlive the stack. Returns why.
    async fn keep_data_key(&self, terraform: &Terraform<'_>) -> Result<Option<String>> {
        let Some(state) = self.state(terraform.cx, terraform.backend).await? else { return Ok(None) };
        data_key::keep_if_needed(terraform, &self.region, &state).await
    }
}
