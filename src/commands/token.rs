use std::time::SystemTime;

use clap::Args;

use super::{Exit, Failure};
use crate::aws::{self, Aws};

/// Print a token for an EKS cluster, as kubectl asks for it
///
/// What the kubeconfig that paydeploy writes runs; interchangeable with `aws eks get-token`.
#[derive(Debug, Args)]
pub struct Token {
    /// The EKS cluster's name
    #[arg(long)]
    cluster: String,
    /// The AWS region of the cluster
    #[arg(long)]
    aws_region: String,
}

impl Token {
    pub async fn run(self) -> Result<Exit, Failure> {
        let aws = Aws::from_env().await.in_region(&self.aws_region);
        let token = aws::token::token(&aws, &self.cluster, SystemTime::now())
            .await
            .map_err(|error| Failure { exit: Exit::Preflight, error: error.source, hint: error.hint })?;
        println!("{}", token.exec_credential());
        Ok(Exit::Ok)
    }
}
