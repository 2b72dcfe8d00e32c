//! The build context: the commit's files only. Other files in the work tree are not part of it.

use std::{
    fs::File,
    io::{self, Seek},
    path::Path,
    time::Duration,
};

use crate::{
    fact::Commit,
    step::{Context, Error, ErrorExt, Result},
    tool::Command,
};

/// `git archive` takes seconds, even for a large repository on a slow disk.
const DEADLINE: Duration = Duration::from_mins(5);

/// The commit's date in seconds since 1970. It is also the image's, so that builds are reproducible.
pub(super) async fn time(cx: &Context, commit: &Commit) -> Result<i64> {
    let log = ["-c", "log.showSignature=false", "log", "-1", "--format=%ct", &commit.id];
    let git = Command::new(&cx.world.tools.git).args(log).dir(&cx.world.config.image.context);
    let date = git.deadline(DEADLINE).output(cx).await?;
    let date = date.trim();
    date.parse().doing(format!("read the date `{date}` of commit {}", commit.short()))
}

/// The commit's files in the context's folder as a tar file, with the commit's time as their modification time. Files
/// with the attribute `export-ignore` are not in it.
///
/// # Errors
/// When git does not know the commit, or the commit has no Dockerfile.
pub(super) async fn archive(cx: &Context, commit: &Commit) -> Result<File> {
    let image = &cx.world.config.image;
    let file = tempfile::NamedTempFile::new().doing("create a temporary file for the build context")?;
    Command::new(&cx.world.tools.git)
        // A user's own `tar.umask` would change the files' modes, and so the image's digest.
        .args(["-c", "tar.umask=0022", "archive", "--format=tar", "--output"])
        .arg(file.path())
        .arg(&commit.id)
        .dir(&image.context)
        .deadline(DEADLINE)
        .run(cx)
        .await?;
    let archive = file.reopen().doing("open the build context")?;
    let (archive, dockerfile) = (file.into_file().sync_data().map(|()| archive), image.dockerfile.clone());
    let mut archive = archive.doing("write the build context")?;
    let searched = tokio::task::spawn_blocking(move || {
        let found = holds(&mut archive, &dockerfile)?;
        io::Result::Ok((archive, found))
    });
    let (archive, found) = searched.await?.doing("read the build context")?;
    if !found {
        let (id, path) = (commit.short(), image.context.join(&image.dockerfile));
        return Err(Error::permanent(format!("commit {id} has no `{}`", path.display()))
            .with_hint("commit the Dockerfile, or correct `dockerfile` in [image] of paydeploy.toml"));
    }
    Ok(archive)
}

fn holds(archive: &mut File, name: &Path) -> io::Result<bool> {
    archive.rewind()?;
    for entry in tar::Archive::new(archive).entries_with_seek()? {
        if entry?.path()? == name.components().as_path() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Seek, path::Path, process::Command};

    use super::archive;
    use crate::{
        fact::Commit,
        step::{Class, Context, testing},
        tool::Tools,
    };

    fn git(dir: &Path, args: &[&str]) -> String {
        let mut command = Command::new("git");
        command.current_dir(dir).args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(args);
        for (name, value) in [("GIT_COMMITTER_DATE", "@1750000000 +0000"), ("GIT_CONFIG_GLOBAL", "/dev/null")]
        {
            command.env(name, value);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A repository with `app/Dockerfile` and `app/run.sh` committed, and a context at `app`.
    fn repository(dir: &Path) -> (Context, Commit) {
        fs::create_dir_all(dir.join("app")).unwrap();
        fs::write(dir.join("README.md"), "x").unwrap();
        fs::write(dir.join("app/Dockerfile"), "FROM scratch\n").unwrap();
        fs::write(dir.join("app/run.sh"), "#!/bin/sh\n").unwrap();
        git(dir, &["init", "--quiet"]);
        git(dir, &["add", "."]);
        git(dir, &["commit", "--quiet", "-m", "x"]);
        let commit = Commit { id: git(dir, &["rev-parse", "HEAD"]) };
        let (mut cx, _events) = testing::context(dir);
        let world = std::sync::Arc::get_mut(&mut cx.world).unwrap();
        world.config.image.context = dir.join("app");
        world.tools = Tools::on_path(&std::env::var_os("PATH").unwrap());
        (cx, commit)
    }

    #[tokio::test]
    async fn an_archive_holds_the_commits_files_with_the_commits_time() {
        let dir = tempfile::tempdir().unwrap();
        let (cx, commit) = repository(dir.path());
        fs::write(dir.path().join("app/stray"), "not committed").unwrap();
        fs::write(dir.path().join("app/Dockerfile"), "changed").unwrap();
        let mut file = archive(&cx, &commit).await.unwrap();
        file.rewind().unwrap();
        let mut files = Vec::new();
        for entry in tar::Archive::new(file).entries().unwrap() {
            let entry = entry.unwrap();
            if entry.header().entry_type().is_file() {
                let (path, size) = (entry.path().unwrap().display().to_string(), entry.size());
                files.push((path, size, entry.header().mtime().unwrap(), entry.header().mode().unwrap()));
            }
        }
        let time = 1_750_000_000;
        assert_eq!(super::time(&cx, &commit).await.unwrap(), 1_750_000_000);
        assert_eq!(
            files,
            [("Dockerfile".to_owned(), 13, time, 0o644), ("run.sh".to_owned(), 10, time, 0o644)]
        );
    }

    #[tokio::test]
    async fn an_uncommitted_dockerfile_is_reported_before_the_build() {
        let dir = tempfile::tempdir().unwrap();
        let (cx, _) = repository(dir.path());
        git(dir.path(), &["rm", "--quiet", "--cached", "app/Dockerfile"]);
        git(dir.path(), &["commit", "--quiet", "-m", "y"]);
        let commit = Commit { id: git(dir.path(), &["rev-parse", "HEAD"]) };
        let error = archive(&cx, &commit).await.unwrap_err();
        assert_eq!(error.class, Class::Permanent);
        let (message, id) = (error.to_string(), commit.short());
        assert!(
            message.starts_with(&format!("commit {id} has no `")) && message.ends_with("app/Dockerfile`"),
            "{message}"
        );
    }

    #[tokio::test]
    async fn an_unknown_commit_is_reported_as_git_words_it() {
        let dir = tempfile::tempdir().unwrap();
        let (cx, _) = repository(dir.path());
        let error = archive(&cx, &Commit { id: "0".repeat(40) }).await.unwrap_err();
        assert!(error.to_string().contains("not a"), "{error}");
    }
}
