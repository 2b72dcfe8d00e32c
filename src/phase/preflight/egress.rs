//! Checks that the clusters admit this machine's public IP address.

use std::{net::IpAddr, time::Duration};

use url::Url;

use crate::{
    config::{Region, admits},
    container::distribution,
    step::{Context, Error, ErrorExt, Phase, Result},
};

/// For a response of one short line. If it takes longer, the check only warns that it could not find the address.
const TIMEOUT: Duration = Duration::from_secs(5);
const VARIABLE: &str = "cluster_endpoint_public_access_cidrs";

/// One error per region whose cluster does not admit this machine's address.
pub async fn problems(cx: &Context) -> Vec<Error> {
    let config = &cx.world.config;
    // The phases that connect to a cluster.
    let needed =
        super::concerns(&cx.world.phases, &[Phase::Kubeconfig, Phase::HelmDeps, Phase::Argocd, Phase::Apps]);
    let Some(page) = config.preflight.egress.as_ref().filter(|_| needed) else { return Vec::new() };
    let address = match public_address(page).await {
        Ok(address) => address,
        Err(error) => {
            cx.warn(
                format!("failed to find this machine's public IP address: {error:#}"),
                format!(
                    "make sure that `{VARIABLE}` admits it, and set `egress = \"off\"` in [preflight] of paydeploy.toml"
                ),
            );
            return Vec::new();
        }
    };
    config.regions.values().filter_map(|region| admitted(region, address, &config.root).err()).collect()
}

async fn public_address(page: &Url) -> Result<IpAddr> {
    let request = distribution::http()?.get(page.clone()).timeout(TIMEOUT);
    let response = request.send().await.and_then(reqwest::Response::error_for_status);
    let text = response
        .map_err(reqwest::Error::without_url)
        .doing(format!("get `{page}`"))?
        .text()
        .await
        .doing(format!("read `{page}`"))?;
    text.trim().parse().doing(format!("read an IP address from `{page}`"))
}

fn admitted(region: &Region, address: IpAddr, root: &std::path::Path) -> Result<()> {
    let Region { name, admitted, var_file, .. } = region;
    // EKS admits IPv4 networks only. An empty list is refused by the stack itself.
    let IpAddr::V4(address) = address else { return Ok(()) };
    if admitted.is_empty() || admitted.iter().any(|cidr| admits(cidr, address).unwrap_or(true)) {
        return Ok(());
    }
    let file = var_file.strip_prefix(root).unwrap_or(var_file).display();
    let message = format!(
        "region `{name}`: this machine's public IP address {address} is not admitted by `{VARIABLE}`: \
         the cluster would refuse its requests"
    );
    Err(Error::permanent(message).with_hint(format!(
        "add \"{address}/32\" to `{VARIABLE}` in `{file}`; if you reach the cluster another way, set \
         `egress = \"off\"` in [preflight] of paydeploy.toml"
    )))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::admitted;
    use crate::{config::Region, step::testing};

    #[test]
    fn a_cluster_must_admit_the_public_address_of_this_machine() {
        let mut region = Region {
            var_file: "/repository/terraform/regions/spain.tfvars".into(),
            admitted: vec!["198.51.100.0/24".to_owned(), "203.0.113.7/32".to_owned()],
            ..testing::region()
        };
        let judge = |region: &Region, address: &str| {
            admitted(region, address.parse().unwrap(), Path::new("/repository"))
                .map_err(|error| error.hint.unwrap())
        };
        judge(&region, "198.51.100.255").unwrap();
        judge(&region, "203.0.113.7").unwrap();
        let hint = judge(&region, "203.0.113.8").unwrap_err();
        assert!(hint.starts_with("add \"203.0.113.8/32\" to"), "{hint}");
        assert!(hint.contains("`terraform/regions/spain.tfvars`"), "{hint}");
        judge(&region, "2001:db8::1").unwrap();
        region.admitted.clear();
        judge(&region, "203.0.113.8").unwrap();
    }
}
