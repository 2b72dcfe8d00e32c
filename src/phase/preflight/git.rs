//! Checks the commit to release: the work tree is clean, the commit has a chart, and Argo CD can read it.

use std::time::Duration;

use crate::{
    config::Gitops,
    fact::Commit,
    step::{Context, Error, ErrorExt, Result},
    tool::Command,
};

/// For each Git command, including those that contact the remote repository.
const DEADLINE: Duration = Duration::from_mins(1);
/// How many changed files a message lists.
const LISTED: usize = 10;
/// paydeploy's own folder. It is not part of the application, whether or not Git ignores it.
const OURS: &str = ".paydeploy";

fn git<const N: usize>(cx: &Context, args: [&str; N]) -> Command {
    let command = Command::new(&cx.world.tools.git)
        .args(args)
        .dir(&cx.world.config.root)
        // Do not lock the index, and fail instead of prompting for a password, because stdin is closed.
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_TERMINAL_PROMPT", "0")
        .deadline(DEADLINE);
    match std::env::var_os("GIT_SSH_COMMAND") {
        Some(_) => command,
        None => command.env("GIT_SSH_COMMAND", "ssh -oBatchMode=yes"),
    }
}

/// The checked-out commit.
pub async fn head(cx: &Context) -> Result<Commit> {
    let log = git(cx, ["-c", "log.showSignature=false", "log", "-1", "--format=%H"]);
    let text = log.output(cx).await;
    let root = cx.world.config.root.display().to_string();
    let text = text.doing(format!("find the commit of `{root}`")).hint(
        "paydeploy releases a commit: run it in a clone of the application's repository that has at least one",
    )?;
    Ok(Commit { id: text.trim().to_owned() })
}

/// # Errors
/// When the work tree has changes that are not in the commit: the release would not contain them.
pub async fn clean(cx: &Context) -> Result<()> {
    let text = git(cx, ["status", "--porcelain=v1", "-z", "--no-renames"]).output(cx).await?;
    let dirty = dirty(&text);
    if dirty.is_empty() {
        return Ok(());
    }
    let mut named = dirty.iter().take(LISTED).copied().collect::<Vec<_>>().join(", ");
    if dirty.len() > LISTED {
        named = format!("{named} and {} more", dirty.len() - LISTED);
    }
    Err(Error::permanent(format!("the work tree has uncommitted changes: {named}"))
        .with_hint("commit or stash them (paydeploy releases a commit), or add them to .gitignore"))
}

fn dirty(status: &str) -> Vec<&str> {
    let ours = |path: &&str| path.split('/').any(|piece| piece == OURS);
    status.split('\0').filter_map(|entry| entry.get(3..)).filter(|path| !ours(path)).collect()
}

/// # Errors
/// When the commit has no chart where Argo CD reads it.
pub async fn has_chart(cx: &Context, commit: &Commit) -> Result<()> {
    let chart = &cx.world.config.gitops.chart;
    let path = format!("{}:./{}", commit.id, chart.join("Chart.yaml").display());
    if git(cx, ["cat-file", "-e", &path]).exit(cx).await?.is_good() {
        return Ok(());
    }
    let message = format!("commit {} has no chart in `{}`", commit.short(), chart.display());
    Err(Error::permanent(message).with_hint("set `gitops.chart` in paydeploy.toml to the chart's folder"))
}

/// # Errors
/// When the repository that Argo CD reads from does not contain the commit.
pub async fn is_pushed(cx: &Context, commit: &Commit) -> Result<()> {
    let Gitops { repository, .. } = &cx.world.config.gitops;
    let tips = git(cx, ["ls-remote", "--quiet", repository]).output(cx).await;
    let tips = tips.doing(format!("list the branches of `{repository}`")).hint(
        "check `gitops.repository` in paydeploy.toml, the network and your access to it (`git ls-remote` must work)",
    )?;
    let contains = format!("--contains={}", commit.id);
    let local = git(cx, ["for-each-ref", &contains, "--format=%(objectname)"]).output(cx).await?;
    if reaches(&tips, &local, &commit.id) || can_fetch(cx, repository, commit).await? {
        return Ok(());
    }
    let message = format!("`{repository}` does not contain commit {}", commit.short());
    Err(Error::permanent(message).with_hint("push it first: Argo CD reads the commit from this repository"))
}

/// Whether one of the remote's tips is the commit or, as far as the clone knows, descends from it.
fn reaches(tips: &str, local: &str, commit: &str) -> bool {
    let mut tips = tips.lines().filter_map(|line| line.split_whitespace().next());
    tips.any(|tip| tip == commit || local.lines().any(|known| known == tip))
}

/// How a commit is related to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ancestry {
    /// It has the other one in its history.
    Contains,
    /// It is in the history of the other one.
    Older,
    Diverged,
    /// The clone does not have the other one, or not the history between them.
    Unknown,
}

/// How a commit is related to another one, as far as the clone knows.
///
/// # Errors
/// When Git cannot be run.
pub async fn ancestry(cx: &Context, commit: &str, other: &str) -> Result<Ancestry> {
    let is_ancestor = async |one: &str, of: &str| {
        Ok::<_, Error>(git(cx, ["merge-base", "--is-ancestor", one, of]).exit(cx).await?.is_good())
    };
    if is_ancestor(other, commit).await? {
        return Ok(Ancestry::Contains);
    }
    if is_ancestor(commit, other).await? {
        return Ok(Ancestry::Older);
    }
    let object = format!("{other}^{{commit}}");
    let is_known = git(cx, ["cat-file", "-e", &object]).exit(cx).await?.is_good();
    // Where the history is cut off, nothing follows from the absence of a path between the two.
    let is_whole = git(cx, ["rev-parse", "--is-shallow-repository"]).output(cx).await?.trim() == "false";
    Ok(if is_known && is_whole { Ancestry::Diverged } else { Ancestry::Unknown })
}

/// Whether the commit itself can be fetched. This covers branches that have since got commits that the clone does not
/// have.
async fn can_fetch(cx: &Context, repository: &str, commit: &Commit) -> Result<bool> {
    let empty = tempfile::tempdir().doing("create a temporary folder")?;
    git(cx, ["init", "--quiet", "--bare", "."]).dir(empty.path()).run(cx).await?;
    let fetch = ["fetch", "--quiet", "--depth=1", "--filter=tree:0", repository, &commit.id];
    Ok(git(cx, fetch).dir(empty.path()).exit(cx).await?.is_good())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{clean, dirty, has_chart, head, is_pushed, reaches};
    use crate::step::{Context, testing};

    #[test]
    fn changed_files_are_listed_without_our_own_folder() {
        let status = " M src/main.rs\0?? notes.md\0?? .paydeploy/\0?? deploy/.paydeploy/runs/1\0";
        assert_eq!(dirty(status), ["src/main.rs", "notes.md"]);
        assert!(dirty("").is_empty());
    }

    #[test]
    fn a_commit_is_pushed_if_a_remote_branch_is_it_or_descends_from_it() {
        let tips = "aaa\tHEAD\naaa\trefs/heads/main\nbbb\trefs/heads/old\n";
        assert!(reaches(tips, "", "bbb"));
        assert!(reaches(tips, "ccc\naaa\n", "ccc"));
        assert!(!reaches(tips, "ccc\n", "ccc"));
    }

    fn run(dir: &Path, args: &[&str]) {
        let identity =
            ["-c", "user.name=t", "-c", "user.email=t@payments.example", "-c", "commit.gpgSign=false"];
        let git = std::process::Command::new("git").args(identity).args(args).current_dir(dir).output();
        let git = git.unwrap();
        assert!(git.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&git.stderr));
    }

    /// A work tree and the repository that it is pushed to.
    fn repository(dir: &Path) -> Context {
        let (mut cx, _) = testing::context(&dir.join("work"));
        let world = std::sync::Arc::get_mut(&mut cx.world).unwrap();
        world.tools.git = "git".into();
        world.config.gitops.repository = dir.join("remote").display().to_string();
        std::fs::create_dir_all(dir.join("work/charts/payment-latency-api")).unwrap();
        std::fs::write(dir.join("work/charts/payment-latency-api/Chart.yaml"), "name: x").unwrap();
        std::fs::write(dir.join("work/.gitignore"), "runs/\n").unwrap();
        run(dir, &["init", "--quiet", "--bare", "--initial-branch=main", "remote"]);
        run(dir, &["init", "--quiet", "--initial-branch=main", "work"]);
        run(&dir.join("work"), &["add", "."]);
        run(&dir.join("work"), &["commit", "--quiet", "-m", "one"]);
        cx
    }

    #[tokio::test]
    async fn a_commit_must_be_clean_pushed_and_contain_the_chart() {
        let dir = tempfile::tempdir().unwrap();
        let cx = repository(dir.path());
        let work = dir.path().join("work");
        let commit = head(&cx).await.unwrap();
        assert_eq!(commit.id.len(), 40);
        clean(&cx).await.unwrap();
        has_chart(&cx, &commit).await.unwrap();

        let error = is_pushed(&cx, &commit).await.unwrap_err();
        assert!(error.to_string().contains("does not contain commit"), "{error}");
        run(&work, &["push", "--quiet", "../remote", "main"]);
        is_pushed(&cx, &commit).await.unwrap();

        std::fs::write(work.join("new"), "").unwrap();
        assert!(clean(&cx).await.unwrap_err().to_string().ends_with(": new"));
    }

    #[tokio::test]
    async fn a_commit_behind_unknown_remote_commits_counts_as_pushed() {
        let dir = tempfile::tempdir().unwrap();
        let cx = repository(dir.path());
        let commit = head(&cx).await.unwrap();
        run(&dir.path().join("work"), &["push", "--quiet", "../remote", "main"]);
        run(dir.path(), &["clone", "--quiet", "remote", "other"]);
        run(&dir.path().join("other"), &["commit", "--quiet", "--allow-empty", "-m", "two"]);
        run(&dir.path().join("other"), &["push", "--quiet", "origin", "HEAD:main"]);
        is_pushed(&cx, &commit).await.unwrap();
    }

    #[tokio::test]
    async fn a_folder_without_a_commit_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        let (mut cx, _events) = testing::context(dir.path());
        std::sync::Arc::get_mut(&mut cx.world).unwrap().tools.git = "git".into();
        let error = head(&cx).await.unwrap_err();
        assert!(error.to_string().starts_with("failed to find the commit of"), "{error}");
        assert!(error.hint.unwrap().contains("in a clone"));
    }
}
