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
        clap_complete::generate(self.shell, command, "paydeploy", &mut std::io::stdout());
        Exit::Ok
    }
}
