//! The work folder in which terraform runs for one stack in one region.
//!
//! All regions share a stack's own folder, but terraform writes into the folder in which it runs: its data, and
//! `errored.tfstate` when it cannot save the state. So each region gets its own work folder with links to the stack's
//! files. The siblings of the stacks' folder are linked two levels above it, so that `../../modules/…` resolves.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink},
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};
use tempfile::TempPath;

use crate::step::{Error, ErrorExt, Result};

/// The state that terraform writes here when it has changed resources but cannot save the state in the bucket.
const UNSAVED_STATE: &str = "errored.tfstate";
const VARIABLES: &str = "paydeploy.tfvars.json";
const PLAN: &str = "paydeploy.tfplan";
/// The only hidden file that is part of a stack.
const LOCK_FILE: &str = ".terraform.lock.hcl";

#[derive(Debug)]
pub struct Folder {
    /// Where terraform runs.
    pub path: PathBuf,
    /// The stack's own folder.
    stack: PathBuf,
}

impl Folder {
    /// Creates the work folder for `stack` below `parent`, or updates its links.
    pub fn create(parent: &Path, stacks: &Path, stack: &str) -> Result<Self> {
        let source = stacks.join(stack);
        if !source.is_dir() {
            return Err(Error::permanent(format!("no stack `{stack}` in `{}`", stacks.display())).with_hint(
                "set `terraform.stacks` in paydeploy.toml to the folder that contains one folder per stack",
            ));
        }
        let create = || -> io::Result<Self> {
            let source = source.canonicalize()?;
            let name = stacks.canonicalize()?.file_name().map(PathBuf::from).unwrap_or_default();
            let path = std::path::absolute(parent)?.join(&name).join(stack);
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
            if let Some(beside) = source.parent().and_then(Path::parent) {
                link_all(&std::path::absolute(parent)?, visible(beside, |entry| Path::new(entry) != name)?)?;
            }
            link_all(&path, visible(&source, is_source)?)?;
            Ok(Self { path, stack: source })
        };
        create().doing(format!("create the work folder for stack `{stack}` in `{}`", parent.display()))
    }

    /// The current content of the stack's lock file.
    pub fn lock_file(&self) -> Vec<u8> {
        // A missing file is not an error here: terraform itself reports it.
        fs::read(self.stack.join(LOCK_FILE)).unwrap_or_default()
    }

    /// Writes the variables that paydeploy passes, and returns the file's path.
    pub fn write_variables(&self, variables: Map<String, Value>) -> Result<PathBuf> {
        let path = self.path.join(VARIABLES);
        write_private(&path, Value::Object(variables).to_string().as_bytes())
            .doing(format!("write `{}`", path.display()))?;
        Ok(path)
    }

    /// A file for a plan: readable by its owner only, and deleted when dropped.
    pub fn plan_file(&self) -> Result<TempPath> {
        let path = self.path.join(PLAN);
        write_private(&path, b"").doing(format!("write `{}`", path.display()))?;
        Ok(TempPath::try_from_path(path)?)
    }

    /// The state that terraform could not save, if there is one.
    pub fn unsaved_state(&self) -> Option<PathBuf> {
        Some(self.path.join(UNSAVED_STATE)).filter(|path| path.exists())
    }

    /// The path of a file that terraform names, for messages: with the links resolved, and relative to `root`.
    pub fn display_path(&self, file: &str, root: &Path) -> String {
        let file = normal(&self.stack.join(file));
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        file.strip_prefix(root).unwrap_or(&file).display().to_string()
    }
}

/// The path with each `..` resolved by name, without following links.
fn normal(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for piece in path.components() {
        match piece {
            std::path::Component::ParentDir => {
                plain.pop();
            }
            piece => plain.push(piece),
        }
    }
    plain
}

/// Whether an entry of a stack's folder is part of the stack. Files left by running terraform by hand are not: with
/// them, a run would depend on the machine that starts it.
fn is_source(name: &str) -> bool {
    let by_hand = name.contains(".tfstate")
        || name.contains(".auto.tfvars")
        || name.starts_with("terraform.tfvars")
        || name.contains(".tfplan");
    !by_hand
}

/// The visible entries of a folder that match `wanted`, by name.
fn visible(folder: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut entries = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if (name == LOCK_FILE || !name.starts_with('.')) && wanted(&name) {
            entries.insert(name, entry.path());
        }
    }
    Ok(entries)
}

/// Updates the links in a folder to exactly these. Other files in it are not touched.
fn link_all(folder: &Path, wanted: BTreeMap<String, PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let stale = entry.file_type()?.is_symlink()
            && entry.file_name().to_str().and_then(|name| wanted.get(name))
                != Some(&fs::read_link(entry.path())?);
        if stale {
            match fs::remove_file(entry.path()) {
                // Another stack of the region, which creates the same links, has deleted it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed?,
            }
        }
    }
    for (name, target) in wanted {
        match symlink(target, folder.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => created?,
        }
    }
    Ok(())
}

fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    // The mode takes effect only when a file is created, so an existing file is deleted first.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    io::Write::write_all(&mut file, content)
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::PermissionsExt,
        path::{Path, PathBuf},
    };

    use super::Folder;

    fn tree(root: &Path) -> PathBuf {
        for (name, text) in [
            ("terraform/stacks/cluster/main.tf", "module"),
            ("terraform/stacks/cluster/.terraform.lock.hcl", "lock"),
            ("terraform/stacks/cluster/.terraform/old", ""),
            ("terraform/stacks/cluster/errored.tfstate", ""),
            ("terraform/stacks/cluster/mine.auto.tfvars", ""),
            ("terraform/modules/irsa/main.tf", "role"),
        ] {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), text).unwrap();
        }
        root.join("terraform/stacks")
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_work_folder_has_the_stacks_files_and_reaches_its_modules_without_leftovers() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::create(&dir.path().join("work/spain"), &tree(dir.path()), "cluster").unwrap();
        assert_eq!(names(&folder.path), [".terraform.lock.hcl", "main.tf"]);
        assert_eq!(fs::read_to_string(folder.path.join("../../modules/irsa/main.tf")).unwrap(), "role");
        assert_eq!(folder.lock_file(), b"lock");
        assert_eq!(folder.unsaved_state(), None);
    }

    #[test]
    fn links_follow_the_stack_and_terraforms_own_files_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (parent, stacks) = (dir.path().join("work/spain"), tree(dir.path()));
        let folder = Folder::create(&parent, &stacks, "cluster").unwrap();
        fs::write(folder.path.join("errored.tfstate"), "state").unwrap();
        fs::rename(stacks.join("cluster/main.tf"), stacks.join("cluster/nodes.tf")).unwrap();
        let folder = Folder::create(&parent, &stacks, "cluster").unwrap();
        assert_eq!(names(&folder.path), [".terraform.lock.hcl", "errored.tfstate", "nodes.tf"]);
        assert!(folder.unsaved_state().is_some());
    }

    #[test]
    fn a_plan_file_is_private_and_deleted_after_use() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::create(&dir.path().join("work/spain"), &tree(dir.path()), "cluster").unwrap();
        let plan = folder.plan_file().unwrap();
        let path = plan.to_path_buf();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        drop(plan);
        assert!(!path.exists());
    }

    #[test]
    fn files_are_named_by_their_path_in_the_repository() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::create(&dir.path().join("work/spain"), &tree(dir.path()), "cluster").unwrap();
        assert_eq!(folder.display_path("main.tf", dir.path()), "terraform/stacks/cluster/main.tf");
        assert_eq!(
            folder.display_path("../../modules/irsa/main.tf", dir.path()),
            "terraform/modules/irsa/main.tf"
        );
    }

    #[test]
    fn a_missing_stack_is_reported_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let error = Folder::create(&dir.path().join("work/spain"), &tree(dir.path()), "clustre").unwrap_err();
        assert!(error.to_string().starts_with("no stack `clustre` in `"), "{error}");
    }
}
