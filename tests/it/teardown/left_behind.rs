//! What a cluster's controllers, its nodes and AWS leave behind when they are killed, and no stack manages.

use super::deployment::Deployment;

/// The resources, and beside them some that look alike and belong to another cluster.
pub struct LeftBehind {
    zone: String,
    host: String,
    interface: String,
    volume: String,
    others_volume: String,
    balancer: Balancer,
    others_balancer: Balancer,
}

/// ARNs and an id.
struct Balancer {
    balancer: String,
    targets: String,
    group: String,
}

impl LeftBehind {
    pub fn of(deployment: &Deployment) -> Self {
        let name = deployment.name();
        let interface = format!("{{Key=cluster.k8s.amazonaws.com/name,Value={name}}}");
        let left = Self {
            zone: deployment.zone(),
            host: format!("{}.payments.example", deployment.project),
            interface: deployment.interface(&interface),
            volume: volume(deployment, &name),
            others_volume: volume(deployment, "another-cluster"),
            balancer: Balancer::create(deployment, "left", &name, &deployment.of_project()),
            others_balancer: Balancer::create(
                deployment,
                "another",
                "another-cluster",
                "Name=is-default,Values=true",
            ),
        };
        let Self { zone, host, .. } = &left;
        let owner = |owner: &str| format!("\"heritage=external-dns,external-dns/owner={owner}\"");
        deployment.record(zone, "A", host, "192.0.2.1");
        deployment.record(zone, "TXT", &format!("a-{host}"), &owner(&name));
        deployment.record(zone, "A", &format!("other-{host}"), "192.0.2.2");
        deployment.record(zone, "TXT", &format!("a-other-{host}"), &owner("another-cluster"));
        left
    }

    /// Makes the other cluster's load balancer use the deployment's certificate. Returns the ARN of the listener.
    pub fn use_certificate(&self, deployment: &Deployment) -> String {
        let list = deployment.aws(&["acm", "list-certificates"]);
        let list = list["CertificateSummaryList"].as_array().unwrap().iter();
        let mut ours = list.filter(|one| one["DomainName"] == self.host.as_str());
        let certificate = ours.next().expect("it is deployed")["CertificateArn"].as_str().unwrap();
        let Balancer { balancer, targets, .. } = &self.others_balancer;
        let listener = deployment.aws(&[
            "elbv2",
            "create-listener",
            "--load-balancer-arn",
            balancer,
            "--protocol",
            "HTTPS",
            "--port",
            "443",
            "--certificates",
            &format!("CertificateArn={certificate}"),
            "--default-actions",
            &format!("Type=forward,TargetGroupArn={targets}"),
        ]);
        listener["Listeners"][0]["ListenerArn"].as_str().unwrap().to_owned()
    }

    /// The ARN of the other cluster's load balancer.
    pub fn others(&self) -> &str {
        &self.others_balancer.balancer
    }

    /// All of it is deleted, and nothing of another cluster.
    pub fn is_deleted(&self, deployment: &Deployment) {
        let Self { zone, host, interface, volume, others_volume, balancer, others_balancer } = self;
        let list = |service: &str, call: &str| deployment.aws(&[service, call]).to_string();
        let interfaces = list("ec2", "describe-network-interfaces");
        assert!(!interfaces.contains(interface), "the network plugin's interface remains");
        let records = deployment.records(zone);
        assert!(!records.contains(&format!("\"{host}.\"")), "{records}");
        assert!(
            records.contains(&format!("\"other-{host}.\"")),
            "another cluster's record remains: {records}"
        );
        let prefix = deployment.log_group();
        let groups = deployment.aws(&["logs", "describe-log-groups", "--log-group-name-prefix", &prefix]);
        assert_eq!(groups["logGroups"], serde_json::json!([]), "the log group that came back remains");
        let volumes = list("ec2", "describe-volumes");
        assert!(!volumes.contains(volume), "the volume remains: {volumes}");
        assert!(volumes.contains(others_volume), "another cluster's volume is deleted: {volumes}");
        let [balancers, targets, groups] = [
            list("elbv2", "describe-load-balancers"),
            list("elbv2", "describe-target-groups"),
            list("ec2", "describe-security-groups"),
        ];
        let exists = |one: &Balancer| {
            [balancers.contains(&one.balancer), targets.contains(&one.targets), groups.contains(&one.group)]
        };
        assert_eq!(
            exists(balancer),
            [false; 3],
            "the controller's load balancer, target group or security group remains"
        );
        assert_eq!(exists(others_balancer), [true; 3], "something of another cluster is deleted");
    }
}

/// A volume as the EBS driver creates it for a claim.
fn volume(deployment: &Deployment, cluster: &str) -> String {
    let tags = format!("ResourceType=volume,Tags=[{{Key=kubernetes.io/cluster/{cluster},Value=owned}}]");
    let zone = format!("{}a", super::REGION);
    let created = deployment.aws(&[
        "ec2",
        "create-volume",
        "--size",
        "1",
        "--availability-zone",
        &zone,
        "--tag-specifications",
        &tags,
    ]);
    created["VolumeId"].as_str().unwrap().to_owned()
}

impl Balancer {
    /// A load balancer as the AWS Load Balancer Controller creates it, in the network that a filter selects. It is
    /// protected from deletion, as an Ingress may request.
    fn create(deployment: &Deployment, name: &str, cluster: &str, vpc: &str) -> Self {
        let vpc = deployment.vpcs(vpc).remove(0);
        let subnets = deployment.subnets(&vpc);
        let tags = format!("Key=elbv2.k8s.aws/cluster,Value={cluster}");
        let group_tags = format!("ResourceType=security-group,Tags=[{{{tags}}}]");
        let group = deployment.aws(&[
            "ec2",
            "create-security-group",
            "--group-name",
            name,
            "--description",
            name,
            "--vpc-id",
            &vpc,
            "--tag-specifications",
            &group_tags,
        ]);
        let group = group["GroupId"].as_str().unwrap().to_owned();
        let mut create = vec![
            "elbv2",
            "create-load-balancer",
            "--name",
            name,
            "--security-groups",
            &group,
            "--tags",
            &tags,
            "--subnets",
        ];
        create.extend(subnets.iter().map(String::as_str));
        let balancer =
            deployment.aws(&create)["LoadBalancers"][0]["LoadBalancerArn"].as_str().unwrap().to_owned();
        let protect = "Key=deletion_protection.enabled,Value=true";
        deployment.aws(&[
            "elbv2",
            "modify-load-balancer-attributes",
            "--load-balancer-arn",
            &balancer,
            "--attributes",
            protect,
        ]);
        let targets = deployment.aws(&[
            "elbv2",
            "create-target-group",
            "--name",
            name,
            "--protocol",
            "HTTP",
            "--port",
            "80",
            "--vpc-id",
            &vpc,
            "--target-type",
            "ip",
            "--tags",
            &tags,
        ]);
        let targets = targets["TargetGroups"][0]["TargetGroupArn"].as_str().unwrap().to_owned();
        Self { balancer, targets, group }
    }
}
