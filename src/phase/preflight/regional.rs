//! Checks that each region offers what its stacks will create, before anything is created. Without this check, a missing
//! quota, instance class or version would be noticed many minutes later, when half of the region exists.

use jiff::Timestamp;

use super::{
    need::{self, Need},
    offer,
    shortage::{self, Place},
};
use crate::{
    config::Region,
    step::{Context, Error, Phase, Result},
};

/// One error per shortage of each region. Warns about what the run may continue with.
pub async fn problems(cx: &Context, regions: &[&Region]) -> Vec<Error> {
    if !super::concerns(&cx.world.phases, &[Phase::Terraform]) {
        return Vec::new();
    }
    let checks = regions.iter().map(|region| check(cx, region));
    let checked = futures::future::join_all(checks).await;
    checked.into_iter().flat_map(|found| found.unwrap_or_else(|error| vec![error])).collect()
}

async fn check(cx: &Context, region: &Region) -> Result<Vec<Error>> {
    let config = &cx.world.config;
    let need = need::of(config, region)?;
    if need == Need::default() {
        return Ok(Vec::new());
    }
    let offer = offer::read(cx, region, &need).await?;
    let file = region.var_file.strip_prefix(&config.root).unwrap_or(&region.var_file).display().to_string();
    let place = Place { region: region.name.as_str(), aws_region: &region.aws_region, file: &file };
    let found = shortage::compare(&need, &offer, place, Timestamp::now());
    for (warning, fix) in found.warnings {
        cx.warn(warning, fix);
    }
    Ok(found.shortages)
}
