use clap::Args;
use clap_complete::Shell;

use super::Exit;

/// Print a shell completion script
#[derive(Debug, Args)]
pub struct Completions {
    /// Shell to print the script for
    shell: Shell,
}

impl Completions {
    pub fn run(self, command: &mut clap::Command) -> Exit {
        // Into memory first: clap_complete panics when it cannot write.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, command, "paydeploy", &mut script);
        print!("{}", String::from_utf8_lossy(&script));
        Exit::Ok
    }
}
