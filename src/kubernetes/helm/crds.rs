//! Upgrades the CustomResourceDefinitions in a chart's folder `crds`. Helm creates them at the first installation and
//! never changes them again, so that a newer controller would meet older kinds.
//!
//! Charts that have them among their templates need nothing: Helm upgrades those. Definitions are never deleted,
//! because that deletes all objects of their kinds.

use std::time::Duration;

use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject},
};
use serde_json::Value;

use super::{
    super::{MANAGER, apply, classify, kind, ready, title},
    run::{self, Runner},
    wanted::Wanted,
};
use crate::task::{ErrorExt, Poll, Result, Task};

/// Set by Helm on the objects among a chart's templates.
const OWNER: &str = "meta.helm.sh/release-name";
/// Between two reads of a definition.
const INTERVAL: Duration = Duration::from_secs(1);
/// The API server checks the names of a definition and serves it, within seconds.
const SERVED_DEADLINE: Duration = Duration::from_mins(1);

fn resource() -> ApiResource {
    kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition")
}

/// Applies the chart's definitions and waits until they are served.
pub(super) async fn upgrade(task: &Task, runner: Runner<'_>, client: &Client, wanted: &Wanted) -> Result<()> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource());
    for mut crd in run::crds(task, runner, wanted).await? {
        let (title, name) = (title(&crd), crd["metadata"]["name"].as_str().unwrap_or_default().to_owned());
        let doing = format!("read `{title}`");
        let live = api.get_metadata_opt(&name).await.map_err(classify).doing(doing)?;
        // Another release has it among its templates, maybe in another version, and would undo the change.
        if live.is_some_and(|live| live.annotations().contains_key(OWNER)) {
            continue;
        }
        task.progress(format!("applying {title}"));
        without_status(&mut crd);
        apply(client, MANAGER, &crd).await?;
        task.wait(&title, INTERVAL, SERVED_DEADLINE, || async {
            let Some(live) = api.get_opt(&name).await.map_err(classify)? else {
                return Ok(Poll::Pending("missing".to_owned()));
            };
            let unmet = ready::unmet(&serde_json::to_value(live)?, "Established");
            Ok(unmet.map_or(Poll::Ready(()), Poll::Pending))
        })
        .await?;
    }
    Ok(())
}

/// Generators write an empty status into the file, which belongs to the API server.
fn without_status(crd: &mut Value) {
    if let Some(fields) = crd.as_object_mut() {
        fields.remove("status");
    }
}
