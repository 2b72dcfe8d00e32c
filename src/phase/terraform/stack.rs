//! One stack in one region. `read` reads its state; `check` plans and judges the plan; `apply` applies that plan.

use std::{marker::PhantomData, time::Duration};

use serde_json::{Map, Value, json};
use tempfile::TempPath;

use super::{
    command::{Backend, Terraform},
    data_key,
    folder::Folder,
    judge::{judge, judge_messages},
    kind::Kind,
    progress::Progress,
};
use crate::{
    aws::state_file::{self, StateFile},
    config::Region,
    step::{Check, Context, ErrorExt, Phase, Resource, Result, Seen, State, Step, StepId},
};

pub struct Stack<K> {
    region: Region,
    kind: PhantomData<fn() -> K>,
}

/// A judged plan. Exactly this plan is applied.
#[derive(Debug)]
pub struct Planned {
    file: TempPath,
    operations: u32,
}

impl<K: Kind> Stack<K> {
    pub(super) fn new(region: &Region) -> Self {
        Self { region: region.clone(), kind: PhantomData }
    }

    fn backend(&self, cx: &Context) -> Backend {
        let config = &cx.world.config;
        Backend {
            bucket: config.state_bucket(&self.region),
            key: config.state_key(&self.region.name, K::NAME),
            aws_region: self.region.aws_region.clone(),
        }
    }

    fn folder(&self, cx: &Context) -> Result<Folder> {
        let parent = cx.world.state.join("terraform").join(self.region.name.as_str());
        Folder::create(&parent, &cx.world.config.terraform.stacks, K::NAME)
    }

    /// The state; `None` also if it has no resources.
    async fn state(&self, cx: &Context, backend: &Backend) -> Result<Option<StateFile>> {
        let aws = cx.world.aws.in_region(&self.region.aws_region);
        let state = state_file::state(&aws, &backend.bucket, &backend.key).await?;
        Ok(state.filter(|state| state.resources > 0))
    }

    /// `-var-file` for the region's own file, then for paydeploy's variables: the later file takes precedence.
    fn variables(
        &self,
        cx: &Context,
        folder: &Folder,
        input: Option<&K::Input>,
        kept: Option<String>,
    ) -> Result<[String; 2]> {
        let config = &cx.world.config;
        let region = &self.region;
        let common = [
            ("project", config.project.as_str()),
            ("profile", config.profile.as_str()),
            ("region_name", region.name.as_str()),
            ("aws_region", &region.aws_region),
            ("role", region.role.as_str()),
            ("domain", &region.domain),
            ("state_bucket", &config.state_bucket(region)),
        ];
        let mut variables: Map<String, Value> =
            common.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        if let Some((address, port)) = config.gitops.private_server() {
            variables.insert("git_server".to_owned(), json!({ "address": address, "port": port }));
        }
        variables.extend(K::variables(input, &config.account));
        variables.extend(kept.map(|key| (data_key::VARIABLE.to_owned(), key.into())));
        let generated = folder.write_variables(variables)?;
        let own = std::path::absolute(&region.var_file)?;
        Ok([format!("-var-file={}", own.display()), format!("-var-file={}", generated.display())])
    }

    async fn plan(&self, terraform: &Terraform<'_>, variables: &[String]) -> Result<Check<Planned>> {
        let cx = terraform.cx;
        terraform.prepare().await?;
        let file = terraform.folder.plan_file()?;
        let args = ["plan", "-json", "-input=false", "-detailed-exitcode"];
        let command =
            terraform.command(args)?.arg(format!("-out={}", file.display())).args(variables).codes(&[0, 2]);
        cx.progress("planning");
        let mut messages = Vec::new();
        let result = terraform.run(command, |message| messages.push(message.clone())).await?;
        result.check(terraform).await?;
        if result.exit.code() == Some(0) {
            return self.clean(terraform).await;
        }
        let judged = if let Some(judged) = judge_messages(&messages) {
            judged
        } else {
            cx.progress("reading the plan");
            // The plan's JSON may contain secrets: it is never written to the log or to disk.
            let shown = terraform.command(["show", "-json"])?.arg(&*file).output(cx).await?;
            let state = self.state(cx, terraform.backend).await?;
            let complete = state.is_some_and(|state| state.outputs::<K::Fact>().is_ok());
            judge(&shown, &cx.world.allow_replace, complete)?
        };
        judged.check()?;
        if judged.lines.is_empty() {
            return self.clean(terraform).await;
        }
        let change = Planned { file, operations: judged.operations };
        Ok(Check::Change { lines: judged.lines, change })
    }

    async fn clean(&self, terraform: &Terraform<'_>) -> Result<Check<Planned>> {
        let state = self.state(terraform.cx, terraform.backend).await?;
        let count = state.map_or(0, |state| state.resources);
        Ok(Check::Clean(format!("{count} resources")))
    }

    async fn delete_resources(
        &self,
        terraform: &Terraform<'_>,
        input: Option<&K::Input>,
    ) -> Result<Option<String>> {
        let Terraform { cx, folder, backend } = terraform;
        if folder.unsaved_state().is_some() {
            terraform.prepare().await?;
        }
        let Some(state) = self.state(cx, backend).await? else { return Ok(None) };
        terraform.prepare().await?;
        let kept = if K::HAS_DATA_KEY {
            data_key::keep_if_needed(terraform, &self.region, &state).await?
        } else {
            None
        };
        let variables = self.variables(cx, folder, input, None)?;
        let args = ["destroy", "-json", "-input=false", "-auto-approve"];
        run(terraform, terraform.command(args)?.args(variables), Progress::destroy()).await?;
        Ok(Some(match kept {
            None => format!("{} resources deleted", state.resources),
            Some(kept) => format!("{} resources deleted; {kept}", state.resources - state.keys.len()),
        }))
    }

    fn named(&self) -> String {
        format!("stack `{}` in region `{}`", K::NAME, self.region.name)
    }
}

impl<K: Kind> Step for Stack<K> {
    type Input = K::Input;
    type Fact = K::Fact;
    type Change = Planned;

    fn id(&self) -> StepId {
        StepId::part(Phase::Terraform, &self.region.name, K::NAME)
    }

    fn resource(&self) -> Resource {
        Resource::Terraform
    }

    fn estimate(&self) -> Duration {
        K::ESTIMATE
    }

    async fn read(&self, cx: &Context, _input: &Self::Input) -> Result<Seen<Self::Fact>> {
        let backend = self.backend(cx);
        let aws = cx.world.aws.in_region(&self.region.aws_region);
        let (state, lock) = tokio::try_join!(
            self.state(cx, &backend),
            state_file::lock(&aws, &backend.bucket, &backend.key),
        )?;
        let locked = lock.map(|lock| format!(", locked by {}", lock.who)).unwrap_or_default();
        let Some(state) = state else {
            return Ok(Seen::missing(format!("no resources{locked}")));
        };
        let StateFile { resources, tainted, .. } = state;
        let fact = match state.outputs() {
            Ok(fact) => fact,
            // Terraform writes outputs last, so their absence means an interrupted apply.
            Err(missing) => {
                let detail = format!("{resources} resources, incomplete: {missing}{locked}");
                return Ok(Seen { fact: None, state: State::Differs, detail });
            }
        };
        Ok(match tainted {
            0 => Seen::ok(fact, format!("{resources} resources{locked}")),
            _ => Seen::differs(fact, format!("{resources} resources, {tainted} tainted{locked}")),
        })
    }

    async fn check(&self, cx: &Context, input: &Self::Input) -> Result<Check<Self::Change>> {
        let (folder, backend) = (self.folder(cx)?, self.backend(cx));
        let terraform = Terraform { cx, folder: &folder, backend: &backend };
        let kept = if K::HAS_DATA_KEY { data_key::kept(cx, &self.region).await? } else { None };
        let variables = self.variables(cx, &folder, Some(input), kept)?;
        self.plan(&terraform, &variables).await.doing(format!("plan {}", self.named()))
    }

    async fn apply(&self, cx: &Context, _input: &Self::Input, change: Self::Change) -> Result<()> {
        let (folder, backend) = (self.folder(cx)?, self.backend(cx));
        let terraform = Terraform { cx, folder: &folder, backend: &backend };
        let command = terraform.command(["apply", "-json", "-input=false"])?.arg(&*change.file);
        let progress = Progress::apply(change.operations);
        run(&terraform, command, progress).await.doing(format!("apply {}", self.named()))
    }

    async fn destroy(&self, cx: &Context, input: Option<&Self::Input>) -> Result<Option<String>> {
        let (folder, backend) = (self.folder(cx)?, self.backend(cx));
        let terraform = Terraform { cx, folder: &folder, backend: &backend };
        self.delete_resources(&terraform, input).await.doing(format!("destroy {}", self.named()))
    }
}

/// Runs a command that changes resources, and reports its progress.
async fn run(terraform: &Terraform<'_>, command: crate::tool::Command, mut progress: Progress) -> Result<()> {
    let cx = terraform.cx;
    let show = |progress: &Progress| match progress.total {
        0 => cx.progress(progress.text()),
        total => cx.count(progress.done, total, progress.text()),
    };
    show(&progress);
    let result = terraform.run(command, |message| {
        if progress.take(message) {
            show(&progress);
        }
    });
    result.await?.check(terraform).await
}
