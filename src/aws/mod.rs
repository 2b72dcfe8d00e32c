//! AWS: clients per region, and the classes of its errors.

pub mod backups;
pub mod balancers;
pub mod bucket;
pub mod certificates;
pub mod cluster;
pub mod content;
mod error;
pub mod identity;
pub mod inventory;
pub mod key;
pub mod objects;
pub mod offers;
pub mod orphans;
mod partition;
pub mod quotas;
pub mod records;
pub mod registry;
pub mod state_file;
pub mod sweep;
pub mod token;
pub mod zones;

use std::{sync::Arc, time::Duration};

use aws_config::timeout::TimeoutConfig;

pub use error::{classify, is_missing, may_have_acted};
pub use partition::{always_enabled, partition};

/// The limit for one attempt of a call, because a connection can die silently. The SDK then retries on
/// another one.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// One account, any region. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Aws {
    base: Arc<aws_config::SdkConfig>,
}

impl Aws {
    /// The account that the environment's credentials belong to (environment, profile, SSO, web identity).
    pub async fn from_env() -> Self {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_TIMEOUT).build();
        let base = aws_config::defaults(aws_config::BehaviorVersion::latest());
        let base = base.timeout_config(timeouts).load().await;
        Self::new(base)
    }

    /// The account of an SDK configuration.
    pub fn new(base: aws_config::SdkConfig) -> Self {
        Self { base: Arc::new(base) }
    }

    /// The SDK's configuration for a region.
    pub fn in_region(&self, aws_region: &str) -> aws_config::SdkConfig {
        let region = aws_config::Region::new(aws_region.to_owned());
        self.base.to_builder().region(region).build()
    }
}
