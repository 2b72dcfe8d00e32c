//! What AWS offers in one region: zones, instance types, and versions of Kubernetes, add-ons and PostgreSQL.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Filter, LocationType};
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use jiff::Timestamp;

use super::{classify, is_missing};
use crate::task::Error;

/// Why AWS did not answer a question.
#[derive(Debug)]
pub enum Refused {
    /// The credentials may not ask it.
    Denied(Error),
    Failed(Error),
}

impl<E> From<SdkError<E, HttpResponse>> for Refused
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        const DENIED: [&str; 3] = ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation"];
        let denied = error.code().is_some_and(|code| DENIED.contains(&code));
        let error = classify(error);
        if denied { Self::Denied(error) } else { Self::Failed(error) }
    }
}

type Answer<T> = Result<T, Refused>;

/// An availability zone. Ids mean the same zone in every account, names do not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    pub name: String,
    pub id: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstanceType {
    pub vcpus: u64,
    pub architectures: Vec<String>,
    /// The ids of the zones that offer it.
    pub zones: BTreeSet<String>,
}

/// The ends of a version's support.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Support {
    pub standard: Option<Timestamp>,
    pub extended: Option<Timestamp>,
}

/// A combination of class and version that RDS can create, for PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orderable {
    /// The full version, such as 17.6.
    pub version: String,
    /// Names of zones.
    pub zones: BTreeSet<String>,
    pub multi_az: bool,
    pub features: Vec<Feature>,
}

/// What a combination of class and version may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    EnhancedMonitoring,
    IamAuthentication,
    PerformanceInsights,
}

fn filter(name: &str, values: &[String]) -> Filter {
    Filter::builder().name(name).set_values(Some(values.to_vec())).build()
}

/// The region's own availability zones, without local zones and those that need an opt-in.
pub async fn zones(ec2: &aws_sdk_ec2::Client) -> Answer<Vec<Zone>> {
    let own = filter("zone-type", &["availability-zone".to_owned()]);
    let enabled = filter("opt-in-status", &["opt-in-not-required".to_owned()]);
    let listed = ec2.describe_availability_zones().filters(own).filters(enabled).send().await?;
    let zone = |zone: &aws_sdk_ec2::types::AvailabilityZone| {
        Some(Zone { name: zone.zone_name()?.to_owned(), id: zone.zone_id()?.to_owned() })
    };
    Ok(listed.availability_zones().iter().filter_map(zone).collect())
}

/// Those of some instance types that exist, with the zones that offer them.
pub async fn instance_types(
    ec2: &aws_sdk_ec2::Client,
    types: &BTreeSet<String>,
) -> Answer<BTreeMap<String, InstanceType>> {
    if types.is_empty() {
        return Ok(BTreeMap::new());
    }
    // As a filter, because a type that the region does not know would be an error as an argument.
    let named = filter("instance-type", &types.iter().cloned().collect::<Vec<_>>());
    let offerings = ec2.describe_instance_type_offerings().filters(named.clone());
    let offerings = offerings.location_type(LocationType::AvailabilityZoneId).into_paginator().items().send();
    let described = ec2.describe_instance_types().filters(named).into_paginator().items().send();
    let (offerings, described) =
        tokio::join!(offerings.collect::<Result<Vec<_>, _>>(), described.collect::<Result<Vec<_>, _>>());
    let mut found = BTreeMap::new();
    for kind in described? {
        let Some(name) = kind.instance_type() else { continue };
        let vcpus =
            kind.v_cpu_info().and_then(aws_sdk_ec2::types::VCpuInfo::default_v_cpus).unwrap_or_default();
        let architectures = kind
            .processor_info()
            .map(aws_sdk_ec2::types::ProcessorInfo::supported_architectures)
            .unwrap_or_default();
        let described = InstanceType {
            vcpus: vcpus.try_into().unwrap_or_default(),
            architectures: architectures.iter().map(|name| name.as_str().to_owned()).collect(),
            zones: BTreeSet::new(),
        };
        found.insert(name.as_str().to_owned(), described);
    }
    for offering in offerings? {
        let (Some(name), Some(zone)) = (offering.instance_type(), offering.location()) else { continue };
        found.entry(name.as_str().to_owned()).or_default().zones.insert(zone.to_owned());
    }
    Ok(found)
}

/// The names of the zones that offer a VPC endpoint, by the full name of its service. Services without one are missing.
pub async fn endpoint_services(
    ec2: &aws_sdk_ec2::Client,
    services: &[String],
) -> Answer<BTreeMap<String, BTreeSet<String>>> {
    if services.is_empty() {
        return Ok(BTreeMap::new());
    }
    // As a filter, because a service that the region does not know would be an error as an argument.
    let named = ec2.describe_vpc_endpoint_services().filters(filter("service-name", services));
    let mut found = BTreeMap::<String, BTreeSet<String>>::new();
    // The SDK has no paginator for this call.
    let mut next = None;
    loop {
        let page = named.clone().set_next_token(next).send().await?;
        for service in page.service_details() {
            let Some(name) = service.service_name() else { continue };
            found.entry(name.to_owned()).or_default().extend(service.availability_zones().iter().cloned());
        }
        next = page.next_token.filter(|token| !token.is_empty());
        if next.is_none() {
            return Ok(found);
        }
    }
}

/// The Kubernetes versions that EKS offers.
pub async fn kubernetes_versions(eks: &aws_sdk_eks::Client) -> Answer<BTreeMap<String, Support>> {
    let pages = eks.describe_cluster_versions().into_paginator().items().send();
    let listed = pages.collect::<Result<Vec<_>, _>>().await?;
    let version = |version: aws_sdk_eks::types::ClusterVersionInformation| {
        let standard = timestamp(version.end_of_standard_support_date());
        let extended = timestamp(version.end_of_extended_support_date());
        Some((version.cluster_version?, Support { standard, extended }))
    };
    Ok(listed.into_iter().filter_map(version).collect())
}

/// The versions of AWS's own add-ons for a Kubernetes version, by add-on, the default first.
pub async fn addon_versions(
    eks: &aws_sdk_eks::Client,
    kubernetes: &str,
) -> Answer<BTreeMap<String, Vec<String>>> {
    let pages = eks.describe_addon_versions().kubernetes_version(kubernetes).owners("aws");
    let listed = pages.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await?;
    let mut found = BTreeMap::new();
    for addon in listed {
        let is_default = |version: &&aws_sdk_eks::types::AddonVersionInfo| {
            version.compatibilities().iter().any(aws_sdk_eks::types::Compatibility::default_version)
        };
        let (default, others): (Vec<_>, Vec<_>) = addon.addon_versions().iter().partition(is_default);
        let versions = default.into_iter().chain(others).filter_map(|version| version.addon_version());
        let versions: Vec<String> = versions.map(str::to_owned).collect();
        if let Some(name) = addon.addon_name() {
            found.insert(name.to_owned(), versions);
        }
    }
    Ok(found)
}

/// A cluster's Kubernetes version; `None` if the cluster does not exist.
pub async fn cluster_version(eks: &aws_sdk_eks::Client, name: &str) -> Answer<Option<String>> {
    match eks.describe_cluster().name(name).send().await {
        Ok(described) => Ok(described.cluster.and_then(|cluster| cluster.version)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The installed version of an add-on; `None` if the add-on or the cluster does not exist.
pub async fn addon_version(eks: &aws_sdk_eks::Client, cluster: &str, addon: &str) -> Answer<Option<String>> {
    match eks.describe_addon().cluster_name(cluster).addon_name(addon).send().await {
        Ok(described) => Ok(described.addon.and_then(|addon| addon.addon_version)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What RDS can create of an instance class, with PostgreSQL.
pub async fn orderable(rds: &aws_sdk_rds::Client, class: &str) -> Answer<Vec<Orderable>> {
    let request = rds.describe_orderable_db_instance_options().engine("postgres").db_instance_class(class);
    let pages = request.vpc(true).into_paginator().items().send();
    let listed = pages.collect::<Result<Vec<_>, _>>().await?;
    let option = |option: aws_sdk_rds::types::OrderableDbInstanceOption| {
        let supported = [
            (option.supports_enhanced_monitoring(), Feature::EnhancedMonitoring),
            (option.supports_iam_database_authentication(), Feature::IamAuthentication),
            (option.supports_performance_insights(), Feature::PerformanceInsights),
        ];
        Some(Orderable {
            zones: option.availability_zones().iter().filter_map(|zone| zone.name.clone()).collect(),
            multi_az: option.multi_az_capable() == Some(true),
            features: supported
                .into_iter()
                .filter_map(|(has, feature)| (has == Some(true)).then_some(feature))
                .collect(),
            version: option.engine_version?,
        })
    };
    Ok(listed.into_iter().filter_map(option).collect())
}

/// The major versions of PostgreSQL that RDS offers.
pub async fn postgres_versions(rds: &aws_sdk_rds::Client) -> Answer<BTreeMap<String, Support>> {
    let pages = rds.describe_db_major_engine_versions().engine("postgres").into_paginator().items().send();
    let listed = pages.collect::<Result<Vec<_>, _>>().await?;
    let version = |version: aws_sdk_rds::types::DbMajorEngineVersion| {
        let end = |name: &str| {
            let lifecycles = version.supported_engine_lifecycles().iter();
            let mut named = lifecycles
                .filter(|lifecycle| lifecycle.lifecycle_support_name().is_some_and(|it| it.as_str() == name));
            timestamp(named.next()?.lifecycle_support_end_date())
        };
        let support = Support {
            standard: end("open-source-rds-standard-support"),
            extended: end("open-source-rds-extended-support"),
        };
        Some((version.major_engine_version.clone()?, support))
    };
    Ok(listed.into_iter().filter_map(version).collect())
}

/// A database's class and major version of PostgreSQL; `None` if it does not exist.
pub async fn database(rds: &aws_sdk_rds::Client, name: &str) -> Answer<Option<(String, String)>> {
    match rds.describe_db_instances().db_instance_identifier(name).send().await {
        Ok(described) => {
            let found = described.db_instances().first();
            Ok(found.and_then(|one| {
                Some((one.db_instance_class()?.to_owned(), major(one.engine_version()?).to_owned()))
            }))
        }
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// 17 of 17.6.
pub fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or(version)
}

fn timestamp(date: Option<&aws_smithy_types::DateTime>) -> Option<Timestamp> {
    Timestamp::from_second(date?.secs()).ok()
}
