use std::time::SystemTime;

use clap::Args;

use super::{Exit, Failure};
use crate::aws::{self, Aws, token_cache::Kept};

/// Print a token for an EKS cluster, for kubectl
///
/// The kubeconfig that paydeploy writes runs this command. Its output is interchangeable with that of
/// `aws eks get-token`. A token of a session is kept for the next call, until it ends after at most 14 minutes.
#[derive(Debug, Args)]
pub struct Token {
    /// Name of the EKS cluster
    #[arg(long)]
    cluster: String,
    /// AWS region of the cluster
    #[arg(long)]
    aws_region: String,
}

impl Token {
    pub async fn run(self) -> Result<Exit, Failure> {
        let kept = Kept::of(&self.cluster, &self.aws_region);
        let read = || kept.as_ref().and_then(|kept| kept.read(SystemTime::now()));
        if let Some(text) = read() {
            println!("{text}");
            return Ok(Exit::Ok);
        }
        let _lock = match &kept {
            Some(kept) => kept.lock().await,
            None => None,
        };
        // Another process may have asked meanwhile.
        if let Some(text) = read() {
            println!("{text}");
            return Ok(Exit::Ok);
        }
        let aws = Aws::from_env(&self.aws_region).await.in_region(&self.aws_region);
        let token = aws::token::token(&aws, &self.cluster, SystemTime::now())
            .await
            .map_err(|error| Failure::of_step(Exit::Preflight, error))?;
        let text = token.exec_credential();
        if let Some(kept) = kept.filter(|_| token.is_of_a_session) {
            // Without it the next call asks again.
            drop(kept.write(&text));
        }
        println!("{text}");
        Ok(Exit::Ok)
    }
}
