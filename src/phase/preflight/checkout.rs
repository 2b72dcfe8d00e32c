//! Reads the checked-out commit from Git's files, without starting Git: `status` starts no process.
//!
//! `HEAD` names a commit or a reference, and a reference is a file of its own or a line of `packed-refs`. A linked work
//! tree has its own `HEAD` and shares the references of its repository (gitrepository-layout(5)).

use std::path::Path;

/// A reference may name another one; Git gives up after as many.
const DEPTH: usize = 5;

/// The id of the commit that is checked out in a folder of a work tree. `None` if there is none, or if the repository
/// stores its references in another format (`reftable`): only Git itself can tell.
pub fn commit(folder: &Path) -> Option<String> {
    let folder = std::path::absolute(folder).ok()?;
    let found = folder.ancestors().map(|folder| folder.join(".git")).find(|git| git.exists())?;
    let own = if found.is_dir() {
        found
    } else {
        // A linked work tree or a submodule.
        found.parent()?.join(read(&found)?.strip_prefix("gitdir: ")?)
    };
    let shared = read(&own.join("commondir")).map_or_else(|| own.clone(), |path| own.join(path));
    let mut name = "HEAD".to_owned();
    for _ in 0..DEPTH {
        let text = read(&own.join(&name))
            .or_else(|| read(&shared.join(&name)))
            .or_else(|| packed(&read(&shared.join("packed-refs"))?, &name))?;
        match text.strip_prefix("ref: ") {
            Some(next) if next.starts_with("refs/") && !next.contains("..") => next.clone_into(&mut name),
            Some(_) => return None,
            None => return Some(text).filter(|id| is_id(id)),
        }
    }
    None
}

/// A file's only line.
fn read(path: &Path) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.trim_end().to_owned())
}

fn packed(references: &str, name: &str) -> Option<String> {
    references.lines().find_map(|line| Some(line.strip_suffix(name)?.strip_suffix(' ')?.to_owned()))
}

fn is_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, process::Command};

    use super::commit;

    fn git(folder: &Path, args: &[&str]) -> String {
        let identity =
            ["-c", "user.name=t", "-c", "user.email=t@payments.example", "-c", "commit.gpgSign=false"];
        let output = Command::new("git").args(identity).args(args).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn the_commit_is_the_one_that_git_reports() {
        let dir = tempfile::tempdir().unwrap();
        let (work, linked) = (dir.path().join("work"), dir.path().join("linked"));
        git(dir.path(), &["init", "--quiet", "--initial-branch=team/main", "work"]);
        fs::create_dir(work.join("deploy")).unwrap();
        assert_eq!(commit(&work), None, "there is no commit yet");
        git(&work, &["commit", "--quiet", "--allow-empty", "-m", "one"]);
        let expect = |folder: &Path| assert_eq!(commit(folder), Some(git(folder, &["rev-parse", "HEAD"])));
        expect(&work);
        expect(&work.join("deploy"));
        git(&work, &["worktree", "add", "--quiet", "-b", "team/main-2", "../linked"]);
        git(&linked, &["commit", "--quiet", "--allow-empty", "-m", "two"]);
        expect(&linked);
        git(&work, &["pack-refs", "--all"]);
        expect(&work);
        expect(&linked);
        git(&work, &["checkout", "--quiet", "--detach"]);
        expect(&work);
    }

    #[test]
    fn a_folder_outside_a_repository_has_no_commit() {
        assert_eq!(commit(tempfile::tempdir().unwrap().path()), None);
    }
}
