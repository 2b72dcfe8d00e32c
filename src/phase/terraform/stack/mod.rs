//! One stack in one region. `read` reads its state; `check` plans and judges the plan, and `apply` applies that plan
//! (`plan`); `destroy` deletes everything (`teardown`).

mod interrupted;
mod plan;
mod teardown;

use std::{
    collections::BTreeSet,
    marker::PhantomData,
    sync::{Mutex, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use serde_json::{Map, Value, json};

pub use self::plan::Planned;
use self::teardown::Doomed;
use super::{
    command::{Backend, Said, Terraform},
    deletion,
    folder::Folder,
    kind::Kind,
    lock,
    progress::Progress,
};
use crate::{
    aws::{
        backups,
        objects::Objects,
        state_file::{self, StateFile},
        sweep::Scope,
    },
    config::{Deployed, Profile, Region},
    step::{Check, Claim, Context, ErrorExt, Phase, Resource, Result, Seen, State, Step, StepId},
};

pub struct Stack<K> {
    region: Region,
    /// What `plan_destroy` has planned, until `destroy` applies it.
    doomed: Mutex<Option<Doomed>>,
    /// Whether the last deletion was planned without the search for what an apply that died created.
    unsearched: AtomicBool,
    /// Whether an apply has started over because a name is taken.
    started_over: AtomicBool,
    /// The failed checks that this run has reported.
    warned: Mutex<BTreeSet<String>>,
    kind: PhantomData<fn() -> K>,
}

impl<K: Kind> Stack<K> {
    pub(super) fn new(region: &Region) -> Self {
        Self {
            region: region.clone(),
            doomed: Mutex::default(),
            unsearched: AtomicBool::new(false),
            started_over: AtomicBool::new(false),
            warned: Mutex::default(),
            kind: PhantomData,
        }
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
        unchanged: Map<String, Value>,
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
        variables.extend(unchanged);
        let generated = folder.write_variables(variables)?;
        let own = std::path::absolute(&region.var_file)?;
        Ok([format!("-var-file={}", own.display()), format!("-var-file={}", generated.display())])
    }

    /// Variables without which a plan would change what exists although its configuration is the same. The plan of a
    /// deletion needs none.
    async fn unchanged(&self, cx: &Context) -> Result<Map<String, Value>> {
        let config = &cx.world.config;
        match config.profile {
            Profile::Staging => Ok(Map::new()),
            Profile::Production => {
                let aws = cx.world.aws.in_region(&self.region.aws_region);
                K::unchanged(&aws, &config.name_in(&self.region.name)).await
            }
        }
    }

    /// Stores the region's configuration beside the state before Terraform writes it, so that the region can still be
    /// deleted when it is no longer configured.
    async fn keep_configuration(&self, cx: &Context) -> Result<()> {
        let config = &cx.world.config;
        let named = self.region.name.as_str();
        let deployed = Deployed::of(config, &self.region);
        let deployed = deployed.doing(format!("read the configuration of region `{named}`"))?;
        let aws = cx.world.aws.in_region(&self.region.aws_region);
        let name = config.state_bucket(&self.region);
        let bucket = Objects::new(&aws, &name);
        let key = config.deployed_key(&self.region.name);
        let stored = bucket.get(&key).await?;
        if stored.and_then(|stored| Deployed::parse(&stored.body)).as_ref() != Some(&deployed) {
            // Without the bucket, the apply that follows fails anyway.
            bucket.keep(&key, deployed.text().into_bytes()).await?;
        }
        Ok(())
    }

    /// Whose leftovers are looked for around the stack's resources.
    fn scope<'a>(&'a self, cx: &'a Context, cluster: &'a str) -> Scope<'a> {
        Scope {
            task: &cx.task,
            aws: &cx.world.aws,
            aws_region: &self.region.aws_region,
            project: &cx.world.config.project,
            region: self.region.name.as_str(),
            cluster,
            domain: &self.region.domain,
            logs: cx.world.may_delete(deletion::LOGS),
            volumes: cx.world.may_delete(deletion::STORAGE),
        }
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

    /// Frees the locks that dead runs and earlier attempts left. A state that they could not save is reported by `check`
    /// and pushed by `apply` and `destroy`.
    async fn repair(&self, cx: &Context, _input: Option<&Self::Input>, left: &[Claim]) -> Result<()> {
        if left.is_empty() {
            return Ok(());
        }
        let (folder, backend) = (self.folder(cx)?, self.backend(cx));
        let terraform = Terraform { cx, folder: &folder, backend: &backend };
        let repair = async {
            lock::free(&terraform, left).await?;
            backups::finish(&cx.world.aws.in_region(&self.region.aws_region), left).await
        };
        repair.await.doing(format!("repair {}", self.named()))
    }

    async fn check(&self, cx: &Context, input: &Self::Input) -> Result<Check<Self::Change>> {
        let (folder, backend) = (self.folder(cx)?, self.backend(cx));
        let terraform = Terraform { cx, folder: &folder, backend: &backend };
        // Only reported, because a check changes nothing.
        if let Some(unsaved) = folder.unsaved_state() {
            let line = format!("push the state that an earlier run could not save (`{}`)", unsaved.display());
            return Ok(Check::Change { lines: vec![line], change: Planned::UnsavedState });
        }
        self.plan_for(&terraform, input).await
    }

    async fn apply(&self, cx: &Context, input: &Self::Input, change: Self::Change) -> Result<()> {
        let (folder, backend) = (self.folder(cx)?, self.backend(cx));
        let terraform = Terraform { cx, folder: &folder, backend: &backend };
        match change {
            Planned::Plan { file, operations, imports } => {
                self.apply_plan(&terraform, file, operations, &imports).await
            }
            Planned::UnsavedState => {
                terraform.save_state().await?;
                self.plan_and_apply(&terraform, input).await
            }
            Planned::Unfinished(all) => {
                self.finish(&terraform, &all).await?;
                self.plan_and_apply(&terraform, input).await
            }
        }
    }

    async fn plan_destroy(&self, cx: &Context, input: Option<&Self::Input>) -> Result<Option<String>> {
        let (folder, backend) = (self.folder(cx)?, self.backend(cx));
        let terraform = Terraform { cx, folder: &folder, backend: &backend };
        let planned = self.plan_deletion(&terraform, input).await;
        let doomed = planned.doing(format!("plan the deletion of {}", self.named()))?;
        let summary = doomed.as_ref().map(|doomed| {
            let outside = match doomed.adopted.len() {
                0 => String::new(),
                count => format!(", {count} of them outside the state, which a run that died created"),
            };
            // The database's backups still need the key now, and are deleted with the database.
            let key = match (doomed.keeps_key, cx.world.config.profile) {
                (true, Profile::Staging) => ", and the data key if nothing needs it by then",
                _ => "",
            };
            format!("{} resources to delete{key}{outside}", doomed.resources)
        });
        *self.doomed.lock().unwrap_or_else(PoisonError::into_inner) = doomed;
        Ok(summary)
    }

    async fn destroy(&self, cx: &Context, input: Option<&Self::Input>) -> Result<Option<String>> {
        let (folder, backend) = (self.folder(cx)?, self.backend(cx));
        let terraform = Terraform { cx, folder: &folder, backend: &backend };
        let cluster = cx.world.config.name_in(&self.region.name);
        let scope = self.scope(cx, &cluster);
        let doing = || format!("destroy {}", self.named());
        let mut swept = K::before_destroy(scope).await.doing(doing())?;
        let deleted = self.delete_resources(&terraform, input).await.doing(doing())?;
        swept.extend(K::after_destroy(scope).await.doing(doing())?);
        let swept = (!swept.is_empty()).then(|| format!("deleted by tag: {}", swept.join(", ")));
        let parts: Vec<String> = deleted.into_iter().chain(swept).collect();
        Ok((!parts.is_empty()).then(|| parts.join("; ")))
    }
}

/// Runs a command that changes resources, and reports its progress.
async fn run(
    terraform: &Terraform<'_>,
    command: crate::tool::Command,
    mut progress: Progress,
) -> Result<Said> {
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
    result.await
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use serde_json::json;

    use super::*;
    use crate::{
        fact,
        kubernetes::testing::{Call, Server},
        phase::terraform::kind::Audit,
        step::{Class, Error, testing},
    };

    /// A terraform that logs its commands, succeeds, and on request plans something.
    const TERRAFORM: &str = r#"
folder=${1#-chdir=}; shift
echo "$1" >>"$0.ran"
mkdir -p "$folder/.terraform"
echo '{"backend": {"type": "s3"}}' >"$folder/.terraform/terraform.tfstate"
if [ "$1" = plan ] && [ -f "$0.plans" ]; then exit 2; fi
if [ "$1" = show ]; then cat "$0.plans"; fi
if [ "$1" = apply ] && [ -f "$0.applies" ]; then . "$0.applies"; fi
"#;

    struct World {
        dir: tempfile::TempDir,
        cx: Context,
        stack: Stack<Audit>,
    }

    impl World {
        async fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            // No state is stored yet; the lock can be written. There is one cluster.
            let answer = |call: &Call| match call.method.as_str() {
                "PUT" => (200, json!("")),
                _ if call.path.starts_with("/clusters/") => {
                    (200, json!({ "cluster": { "status": "ACTIVE" } }))
                }
                _ => (404, json!("<Error><Code>NoSuchKey</Code></Error>")),
            };
            let aws = Server::start(answer).await.aws();
            let (mut cx, _events) = testing::context(dir.path());
            let world = Arc::get_mut(&mut cx.world).unwrap();
            world.aws = aws;
            world.tools.terraform = testing::program(&dir.path().join("terraform.sh"), TERRAFORM);
            fs::create_dir_all(dir.path().join("terraform/stacks/audit")).unwrap();
            let var_file = dir.path().join("spain.tfvars");
            fs::write(&var_file, "").unwrap();
            let region = Region { var_file, ..testing::region() };
            Self { dir, cx, stack: Stack::new(&region) }
        }

        fn ran(&self) -> Vec<String> {
            let ran = fs::read_to_string(self.dir.path().join("terraform.sh.ran")).unwrap_or_default();
            ran.lines().map(str::to_owned).collect()
        }

        fn plans(&self, plan: &Value) {
            fs::write(self.dir.path().join("terraform.sh.plans"), plan.to_string()).unwrap();
        }

        async fn check(&self) -> Result<Check<Planned>> {
            self.stack.check(&self.cx, &fact::Foundation::default()).await
        }
    }

    #[tokio::test]
    async fn a_cluster_whose_creation_was_interrupted_is_finished_and_not_replaced() {
        let world = World::new().await;
        let cluster = json!({
            "address": "module.cluster.aws_eks_cluster.this", "mode": "managed", "type": "aws_eks_cluster",
            "action_reason": "replace_because_tainted",
            "change": { "actions": ["create", "delete"], "before": { "name": "payments-spain" }, "after": {} },
        });
        world.plans(&json!({ "format_version": "1.2", "resource_changes": [cluster] }));
        let Check::Change { lines, change } = world.check().await.unwrap() else { panic!("taken for clean") };
        assert_eq!(lines, ["finish module.cluster.aws_eks_cluster.this, whose creation was interrupted"]);
        let before = world.ran().len();
        world.stack.apply(&world.cx, &fact::Foundation::default(), change).await.unwrap();
        assert_eq!(world.ran()[before..], ["untaint", "plan", "show"]);
    }

    #[tokio::test]
    async fn an_unsaved_state_is_reported_by_a_check_and_pushed_by_an_apply_before_anything_else() {
        let world = World::new().await;
        let unsaved = world.stack.folder(&world.cx).unwrap().path.join("errored.tfstate");
        fs::write(&unsaved, "{}").unwrap();
        let Check::Change { lines, change } = world.check().await.unwrap() else { panic!("taken for clean") };
        assert!(lines[0].starts_with("push the state") && lines[0].contains("errored.tfstate"), "{lines:?}");
        assert!(world.ran().is_empty() && unsaved.exists(), "a check changes nothing");

        world.stack.apply(&world.cx, &fact::Foundation::default(), change).await.unwrap();
        assert_eq!(world.ran(), ["init", "state", "plan"]);
        assert!(!unsaved.exists());
    }

    /// Plans a change and applies it with a terraform that ends in some way.
    async fn apply(world: &World, how: &str) -> Result<()> {
        let output = json!({ "actions": ["create"] });
        world.plans(&json!({ "format_version": "1.2", "output_changes": { "trail_arn": output } }));
        fs::write(world.dir.path().join("terraform.sh.applies"), how).unwrap();
        let Check::Change { change, .. } = world.check().await.unwrap() else { panic!("taken for clean") };
        world.stack.apply(&world.cx, &fact::Foundation::default(), change).await
    }

    async fn failed(world: &World, how: &str) -> Error {
        apply(world, how).await.unwrap_err()
    }

    /// When the applies started that are still claimed after another one.
    async fn applied(world: &World, how: &str) -> Vec<String> {
        let applied = apply(world, how).await;
        assert_eq!(applied.is_ok(), how == "exit 0", "{applied:?}");
        let claims = world.cx.claims.open().into_iter();
        claims
            .filter_map(|claim| if let Claim::Apply { since, .. } = claim { Some(since) } else { None })
            .collect()
    }

    /// An apply of an earlier run that died.
    fn of_a_dead_run(world: &World) -> String {
        let Backend { bucket, key, .. } = world.stack.backend(&world.cx);
        let since = "2026-11-22T10:00:00Z".to_owned();
        world.cx.claims.insert(Claim::Apply { bucket, key, since: since.clone() });
        since
    }

    #[tokio::test]
    async fn an_apply_that_succeeds_leaves_nothing_to_adopt_of_itself_and_of_earlier_ones() {
        let world = World::new().await;
        of_a_dead_run(&world);
        assert!(applied(&world, "exit 0").await.is_empty());
    }

    /// A script with which terraform reports an error and fails.
    fn fails(code: i32, summary: &str) -> String {
        let error =
            json!({ "type": "diagnostic", "diagnostic": { "severity": "error", "summary": summary } });
        format!("echo '{error}'; exit {code}")
    }

    #[tokio::test]
    async fn a_terraform_that_fails_has_saved_its_state_but_not_what_an_earlier_one_left() {
        let world = World::new().await;
        let dead = of_a_dead_run(&world);
        assert_eq!(applied(&world, &fails(1, "api error UnauthorizedOperation")).await, [dead]);
    }

    #[tokio::test]
    async fn what_a_terraform_may_have_created_without_knowing_is_still_searched_for() {
        for how in [
            "kill -9 $$",
            "kill -SEGV $$",
            "exit 1",
            &fails(11, "api error UnauthorizedOperation"),
            &fails(1, "Plugin did not respond"),
            &fails(1, "DBInstanceAlreadyExists: DB instance already exists"),
        ] {
            assert_eq!(applied(&World::new().await, how).await.len(), 1, "{how}");
        }
    }

    #[tokio::test]
    async fn a_name_that_is_taken_is_looked_for_once_more_and_then_final() {
        let world = World::new().await;
        let taken = fails(1, "DBInstanceAlreadyExists: DB instance already exists");
        assert_eq!(failed(&world, &taken).await.class, Class::Transient);
        assert_eq!(failed(&world, &taken).await.class, Class::Conflict);
    }

    #[tokio::test]
    async fn an_apply_that_could_save_its_state_only_here_keeps_its_claim() {
        let world = World::new().await;
        assert_eq!(applied(&world, "echo '{}' >\"$folder/errored.tfstate\"; exit 1").await.len(), 1);
    }

    #[tokio::test]
    async fn a_plan_with_changes_but_without_a_readable_message_is_never_clean() {
        let world = World::new().await;
        let output = json!({ "actions": ["create"] });
        world.plans(&json!({ "format_version": "1.2", "output_changes": { "trail_arn": output } }));
        let Check::Change { lines, .. } = world.check().await.unwrap() else { panic!("taken for clean") };
        assert_eq!(lines, ["+ output trail_arn"]);

        world.plans(&json!({ "format_version": "1.2" }));
        let error: Error = world.check().await.unwrap_err();
        assert!(error.to_string().contains("lists none"), "{error}");
    }
}
