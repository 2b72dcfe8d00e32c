//! AWS: clients per region, and the classes of its errors.

pub mod backups;
pub mod balancers;
pub mod bucket;
pub mod certificates;
pub mod cluster;
pub mod content;
mod credentials;
mod error;
mod fenced;
pub mod identity;
pub mod inventory;
pub mod key;
pub mod lend;
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
pub mod token_cache;
mod zone_reads;
pub mod zones;

use std::{
    ffi::OsString,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_config::{
    identity::IdentityCache,
    meta::region::RegionProviderChain,
    retry::{RetryConfig, RetryMode},
    timeout::TimeoutConfig,
};
use aws_credential_types::provider::SharedCredentialsProvider;

use self::{lend::Lender, zone_reads::ZoneReads};
use crate::task::{Fence, Result};

pub use error::{classify, is_missing, may_have_acted};
pub use partition::{always_enabled, partition};

/// The limit for one attempt of a call, because a connection can die silently. The SDK then retries on
/// another one.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// The limit for a call with all its attempts: a client that has slowed down waits before each of them.
const TIMEOUT: Duration = Duration::from_mins(3);

/// One account, any region. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Aws {
    unfenced: Arc<aws_config::SdkConfig>,
    fence: Fence,
    lender: Arc<Mutex<Option<Lender>>>,
    zone_reads: Arc<ZoneReads>,
}

impl Aws {
    /// The account that the environment's credentials belong to (environment, profile, SSO, web identity, a program). Where
    /// it names no region, roles are assumed by the STS of this one.
    pub async fn from_env(aws_region: &str) -> Self {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_TIMEOUT);
        let timeouts = timeouts.operation_timeout(TIMEOUT).build();
        let region = aws_config::Region::new(aws_region.to_owned());
        let region = RegionProviderChain::default_provider().or_else(region);
        let base = aws_config::defaults(aws_config::BehaviorVersion::latest()).region(region);
        let base = base.timeout_config(timeouts).http_client(fenced::https()).load().await;
        // Many regions share the limits of one account. In this mode a client that is throttled also slows down, for each
        // service and region; the SDK's budget of retries is shared in the same way.
        let retries = base.retry_config().cloned().unwrap_or_else(RetryConfig::standard);
        let is_chosen = lend::user_sets("AWS_RETRY_MODE", "retry_mode");
        let retries = if is_chosen { retries } else { retries.with_retry_mode(RetryMode::Adaptive) };
        let base = base.into_builder().retry_config(retries).build();
        let Some(source) = base.credentials_provider() else { return Self::new(base) };
        let shared = SharedCredentialsProvider::new(credentials::Shared::new(source));
        let shared =
            base.into_builder().credentials_provider(shared).identity_cache(IdentityCache::no_cache());
        Self::new(shared.build())
    }

    /// The account of an SDK configuration.
    pub fn new(unfenced: aws_config::SdkConfig) -> Self {
        Self {
            unfenced: Arc::new(unfenced),
            fence: Fence::default(),
            lender: Arc::default(),
            zone_reads: Arc::default(),
        }
    }

    pub fn fence(&self) -> &Fence {
        &self.fence
    }

    /// The reads of hosted zones.
    pub fn zone_reads(&self) -> &ZoneReads {
        &self.zone_reads
    }

    /// The environment in which a child calls AWS with this run's credentials. A file for it is written to `folder`.
    ///
    /// # Errors
    /// When they cannot be lent.
    pub fn lend(&self, folder: &Path) -> Result<Vec<(OsString, OsString)>> {
        let mut lender = self.lender.lock().unwrap_or_else(PoisonError::into_inner);
        let lender = match lender.take() {
            Some(started) => lender.insert(started),
            None => lender.insert(Lender::start(self.unfenced.credentials_provider(), folder)?),
        };
        Ok(lender.variables.clone())
    }

    /// The SDK's configuration for a region. A call is sent only if the run may act there.
    pub fn in_region(&self, aws_region: &str) -> aws_config::SdkConfig {
        let config = self.unfenced_of_region(aws_region);
        match config.http_client() {
            Some(client) => {
                config.to_builder().http_client(fenced::client(client, &self.fence, aws_region)).build()
            }
            None => config,
        }
    }

    /// The same for what has to work when the run may no longer act: its leases and its records. Other calls being throttled
    /// does not slow it down.
    pub fn unfenced_in_region(&self, aws_region: &str) -> aws_config::SdkConfig {
        let config = self.unfenced_of_region(aws_region);
        let retries = config.retry_config().cloned().unwrap_or_else(RetryConfig::standard);
        config.into_builder().retry_config(retries.with_retry_mode(RetryMode::Standard)).build()
    }

    fn unfenced_of_region(&self, aws_region: &str) -> aws_config::SdkConfig {
        let region = aws_config::Region::new(aws_region.to_owned());
        self.unfenced.to_builder().region(region).build()
    }
}
