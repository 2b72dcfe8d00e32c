//! A region's configuration as it was deployed, kept beside its Terraform state.
//!
//! A region that is no longer in `paydeploy.toml` can only be deleted with what it was created with. `up` stores that
//! before Terraform writes its first state. It contains no secret: a var file is part of the repository.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Config, Profile, Region, Role};
use crate::task::RegionName;

/// The version that this program writes. It reads only this one.
const SCHEMA: u32 = 1;

/// What `up` deployed in a region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed {
    schema: u32,
    region: RegionName,
    aws_region: String,
    profile: Profile,
    domain: String,
    hosted_zone: Option<String>,
    /// The ending of the var file's name, which tells Terraform its format.
    ending: String,
    /// The text of the var file.
    variables: String,
    /// A digest of the stacks' sources.
    pub stacks: String,
}

impl Deployed {
    /// A region as it is configured.
    ///
    /// # Errors
    /// When the var file or the stacks cannot be read.
    pub fn of(config: &Config, region: &Region) -> io::Result<Self> {
        let is_json = region.var_file.extension().is_some_and(|ending| ending == "json");
        Ok(Self {
            schema: SCHEMA,
            region: region.name.clone(),
            aws_region: region.aws_region.clone(),
            profile: config.profile,
            domain: region.domain.clone(),
            hosted_zone: region.hosted_zone.clone(),
            ending: if is_json { "tfvars.json" } else { "tfvars" }.to_owned(),
            variables: fs::read_to_string(&region.var_file)?,
            stacks: digest(&config.terraform.stacks)?,
        })
    }

    /// As text, for storage.
    pub fn text(&self) -> String {
        // Plain values only, which always serialize.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// A stored text; `None` if another version of paydeploy wrote it.
    pub fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok().filter(|found: &Self| found.schema == SCHEMA)
    }

    /// The region, with its var file written into `folder`. It is a spoke: the configuration has a hub of its own.
    ///
    /// # Errors
    /// When the var file cannot be written.
    pub fn region(&self, folder: &Path) -> io::Result<Region> {
        fs::create_dir_all(folder)?;
        let var_file = folder.join(format!("{}.{}", self.region, self.ending));
        fs::write(&var_file, &self.variables)?;
        Ok(Region {
            name: self.region.clone(),
            aws_region: self.aws_region.clone(),
            role: Role::Spoke,
            var_file,
            domain: self.domain.clone(),
            vpc_cidr: None,
            hosted_zone: self.hosted_zone.clone(),
            // These matter only to what is created.
            admitted: Vec::new(),
            data_tags: BTreeMap::new(),
        })
    }
}

/// A digest of all Terraform files in and beside the stacks' folder, by their paths.
fn digest(stacks: &Path) -> io::Result<String> {
    let root = stacks.parent().unwrap_or(stacks);
    let mut files = Vec::new();
    collect(root, &mut files)?;
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let text = fs::read(&file)?;
        let name = file.strip_prefix(root).unwrap_or(&file).to_string_lossy().into_owned();
        for part in [name.as_bytes(), &text] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    Ok(hex::encode(hash.finalize()))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_dir() && !is_hidden {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|ending| ending == "tf") {
            files.push(path);
        }
    }
    Ok(())
}

impl Config {
    /// The key of a region's configuration as deployed, in its state bucket.
    pub fn deployed_key(&self, region: &RegionName) -> String {
        format!("{}/{region}/paydeploy/deployed.json", self.project)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn a_region_can_be_restored_from_what_was_stored() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let config = config::load(&root.join("paydeploy.toml")).unwrap();
        let region = &config.regions[&"mexico".parse().unwrap()];
        let stored = Deployed::of(&config, region).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let restored = Deployed::parse(stored.text().as_bytes()).unwrap().region(folder.path()).unwrap();
        assert_eq!((restored.name.as_str(), restored.aws_region.as_str()), ("mexico", "us-east-1"));
        assert_eq!(restored.domain, region.domain);
        assert_eq!(fs::read(&restored.var_file).unwrap(), fs::read(&region.var_file).unwrap());
        assert_eq!(stored.stacks.len(), 64);
    }

    #[test]
    fn what_a_newer_version_stored_is_not_guessed_at() {
        assert_eq!(Deployed::parse(b"{\"schema\":2}"), None);
    }
}
