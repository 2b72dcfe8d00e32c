use std::time::SystemTime;

use clap::Args;

use super::{Exit, Failure};
use crate::aws::{self, Aws};

/// Print a token for an EKS cluster, for kubectl
///
/// The kubeconfig that paydeploy writes runs this command. Its output is interchangeable with that of
/// `aws eks get-token`.
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
        let aws = Aws::from_env().await.in_region(&self.aws_region);
        let token = aws::token::token(&aws, &self.cluster, SystemTime::now())
            .await
            .map_err(|error| Failure::of_step(Exit::Preflight, error))?;
        println!("{}", token.exec_credential());
        Ok(Exit::Ok)
    }
}
