use std::process::ExitCode;

fn main() -> ExitCode {
    paydeploy::commands::main(std::env::args_os())
}
