//! The pods: permissions, configuration, probes and rollouts.

use serde_json::{Value, json};

use super::{MIGRATION, NAME, Release, container, is_rejected, list, selects, text};

#[test]
fn pods_run_a_digest_without_root_on_a_read_only_disk() {
    let release = Release::of("spain");
    for pod in release.pods() {
        let (spec, container) = (&pod["spec"], container(pod));
        assert!(text(&container["image"]).contains("@sha256:"), "{container}");
        let own = &container["securityContext"];
        assert_eq!(own["readOnlyRootFilesystem"], true);
        assert_eq!(own["allowPrivilegeEscalation"], false);
        assert_eq!(own["capabilities"], json!({"drop": ["ALL"]}));
        let all = &spec["securityContext"];
        assert_eq!((&all["runAsNonRoot"], &all["runAsUser"]), (&json!(true), &json!(65534)));
        assert_eq!(all["seccompProfile"]["type"], "RuntimeDefault");
        assert_eq!(spec["automountServiceAccountToken"], false, "no pod uses the Kubernetes API");
    }
    let [serving, migrating] = release.pods();
    assert_eq!(container(serving)["image"], container(migrating)["image"], "one release is one image");
    assert_eq!(serving["spec"]["serviceAccountName"], NAME);
    assert_eq!(migrating["spec"]["serviceAccountName"], MIGRATION);
}

#[test]
fn each_probe_has_its_own_path_and_port() {
    let release = Release::of("spain");
    let pod = container(&release.the("Deployment")["spec"]["template"]);
    assert_eq!((port(pod, "http"), port(pod, "metrics")), (8080, 9090));
    let data = &release.named("ConfigMap", NAME)["data"];
    assert_eq!(
        (&data["PORT"], &data["METRICS_PORT"]),
        (&json!("8080"), &json!("9090")),
        "the program's ports"
    );
    // A liveness probe that depended on the database would restart every pod during an outage.
    // Nor may it depend on the API's port, which clients can keep busy.
    for (probe, path, port) in [
        ("startupProbe", "/startupz", "metrics"),
        ("livenessProbe", "/livez", "metrics"),
        ("readinessProbe", "/readyz", "http"),
    ] {
        assert_eq!(pod[probe]["httpGet"], json!({"path": path, "port": port}), "{probe}");
    }
    let patience =
        |probe: &str| seconds(&pod[probe]["periodSeconds"]) * seconds(&pod[probe]["failureThreshold"]);
    assert_eq!(patience("startupProbe"), 120, "a starting pod may wait for the database");
    assert_eq!(patience("livenessProbe"), 30, "a hanging pod is restarted");
    assert_eq!(patience("readinessProbe"), 15, "a pod that cannot serve gets no requests");
}

fn port(container: &Value, name: &str) -> u64 {
    let port = list(&container["ports"]).iter().find(|port| port["name"] == name);
    port.unwrap_or_else(|| panic!("no port {name}"))["containerPort"].as_u64().unwrap()
}

fn seconds(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is not a number of seconds"))
}

#[test]
fn pods_have_resource_requests_and_limits() {
    let release = Release::of("spain");
    let [serving, migrating] = release.pods();
    let limits = json!({"cpu": "500m", "memory": "128Mi"});
    assert_eq!(
        container(serving)["resources"],
        json!({"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": limits})
    );
    assert_eq!(
        container(migrating)["resources"],
        json!({"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": limits})
    );
}

#[test]
fn a_rollout_stops_no_pod_before_its_successor_is_ready() {
    let release = Release::of("spain");
    let strategy = &release.the("Deployment")["spec"]["strategy"];
    assert_eq!(
        *strategy,
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}})
    );
}

#[test]
fn a_terminating_pod_has_time_to_finish_its_requests() {
    let release = Release::of("spain");
    let config = &release.named("ConfigMap", NAME)["data"];
    let seconds_of = |key: &str| text(&config[key]).parse::<u64>().unwrap();
    let attribute = "alb.ingress.kubernetes.io/target-group-attributes";
    let attribute = text(&release.the("Ingress")["metadata"]["annotations"][attribute]);
    let deregistered: u64 =
        attribute.strip_prefix("deregistration_delay.timeout_seconds=").unwrap().parse().unwrap();
    assert!(
        seconds_of("DRAIN_SECONDS") > deregistered,
        "the pod serves until the load balancer has deregistered it"
    );
    let killed =
        seconds(&release.the("Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]);
    assert!(
        killed > seconds_of("DRAIN_SECONDS") + seconds_of("SHUTDOWN_SECONDS"),
        "the kubelet kills the pod last"
    );
    assert!(seconds_of("DATABASE_TOTAL_SECONDS") < seconds_of("SHUTDOWN_SECONDS"), "no payment is cut off");
    assert!(is_rejected("terminationGracePeriodSeconds=40"), "15 + 5 + 20 leave nothing");
    assert!(is_rejected("ingress.deregistrationDelaySeconds=60"), "60 + 5 + 20 exceeds the grace period");
}

#[test]
fn pods_get_their_region_and_the_database_proxy() {
    let release = Release::of("spain");
    let config = &release.named("ConfigMap", NAME)["data"];
    assert_eq!((&config["REGION"], &config["ENVIRONMENT"]), (&json!("eu-south-2"), &json!("staging")));
    assert!(text(&config["DATABASE_HOST"]).contains(".proxy-"), "{config}");
    assert_eq!((&config["DATABASE_PORT"], &config["DATABASE_NAME"]), (&json!("5432"), &json!("payments")));
    let pod = container(&release.the("Deployment")["spec"]["template"]);
    assert_eq!(pod["envFrom"], json!([{"configMapRef": {"name": NAME}}]));
    let authorities = text(&config["DATABASE_CA_FILE"]).rsplit_once('/').unwrap();
    let mounted = list(&pod["volumeMounts"]).iter().find(|mount| mount["name"] == "database-ca").unwrap();
    assert_eq!(mounted["mountPath"], authorities.0);
    let bundle = &release.named("ConfigMap", "payment-latency-api-database-ca")["data"][authorities.1];
    assert!(
        text(bundle).contains("BEGIN CERTIFICATE"),
        "the certificates are in the file that the program reads"
    );
}

#[test]
fn pods_roll_only_when_their_configuration_changes() {
    let pod = |set: &[&str]| Release::with("spain", set).the("Deployment")["spec"]["template"].clone();
    let as_is = pod(&[]);
    assert_ne!(pod(&["database.port=6432"]), as_is, "pods read their configuration only when they start");
    assert_eq!(pod(&["autoscaling.maxReplicas=20", "podDisruptionBudget.minAvailable=2"]), as_is);
}

#[test]
fn pods_run_on_the_application_nodes_in_different_zones_if_they_can() {
    let release = Release::of("spain");
    let [pod, _] = release.pods();
    assert_eq!(pod["spec"]["nodeSelector"], json!({"role": "application"}));
    let zone = "topology.kubernetes.io/zone";
    let apart = &pod["spec"]["affinity"]["podAntiAffinity"];
    let preferences = list(&apart["preferredDuringSchedulingIgnoredDuringExecution"]);
    let preference = preferences
        .iter()
        .find(|preference| preference["podAffinityTerm"]["topologyKey"] == zone)
        .expect("pods prefer different zones");
    assert!(selects(&preference["podAffinityTerm"]["labelSelector"]["matchLabels"], pod));
    assert_eq!(
        apart.get("requiredDuringSchedulingIgnoredDuringExecution"),
        None,
        "the pods of a failed zone must be schedulable elsewhere"
    );
    let spread = list(&pod["spec"]["topologySpreadConstraints"]);
    let keys: Vec<&str> = spread.iter().map(|spread| text(&spread["topologyKey"])).collect();
    assert_eq!(keys, [zone, "kubernetes.io/hostname"]);
    for spread in spread {
        assert!(selects(&spread["labelSelector"]["matchLabels"], pod));
        assert_eq!(spread["whenUnsatisfiable"], "ScheduleAnyway");
    }
}
