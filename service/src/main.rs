use std::process::ExitCode;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("the kernel has threads and an event queue");
    let code = runtime.block_on(payment_api::run());
    // Otherwise its threads would be waited for, and a name that is being looked up blocks one for half a minute.
    runtime.shutdown_background();
    code
}
