use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    payment_api::run().await
}
