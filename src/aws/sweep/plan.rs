//! What to do with each resource in a network that no stack manages: delete it, wait for it, or report it.

use aws_sdk_ec2::types::{NetworkInterface, SecurityGroup, Tag, VpcEndpoint};

/// The tag of GuardDuty on the endpoints and security groups that it adds to a network.
const GUARDDUTY: &str = "GuardDutyManaged";
/// The tag of the VPC CNI on the interfaces that it creates for a cluster's nodes.
const CNI: &str = "cluster.k8s.amazonaws.com/name";
/// The tag of the AWS Load Balancer Controller.
const BALANCERS: &str = "elbv2.k8s.aws/cluster";

/// Whose network it is.
#[derive(Clone, Copy)]
pub struct Owner<'a> {
    pub aws_region: &'a str,
    pub project: &'a str,
    pub region: &'a str,
    pub cluster: &'a str,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    /// A stack manages it, or it is deleted together with the network.
    Managed,
    /// It is a leftover of ours, and unused.
    Delete,
    /// AWS or a node is about to release it.
    Wait(String),
    /// It belongs to others: what it is, its owner, and the command that deletes it.
    Foreign(String),
}

fn value<'a>(tags: &'a [Tag], key: &str) -> Option<&'a str> {
    tags.iter().find(|tag| tag.key() == Some(key)).and_then(Tag::value)
}

fn named(tags: &[Tag]) -> String {
    value(tags, "Name").map(|name| format!(" `{name}`")).unwrap_or_default()
}

impl Owner<'_> {
    fn is_of_stack(&self, tags: &[Tag]) -> bool {
        value(tags, "Project") == Some(self.project)
            && value(tags, "Region") == Some(self.region)
            && value(tags, "ManagedBy") == Some("terraform")
    }

    pub fn endpoint(&self, endpoint: &VpcEndpoint) -> Fate {
        let tags = endpoint.tags();
        let id = endpoint.vpc_endpoint_id().unwrap_or("?");
        if self.is_of_stack(tags) {
            return Fate::Managed;
        }
        match endpoint.state().map(|state| state.as_str().to_lowercase()).as_deref() {
            Some("deleted" | "expired" | "rejected" | "failed") => return Fate::Managed,
            Some("deleting") => return Fate::Wait(format!("endpoint {id} is being deleted")),
            _ => {}
        }
        if value(tags, GUARDDUTY) == Some("true") {
            return Fate::Delete;
        }
        let (owner, service) = (endpoint.owner_id().unwrap_or("?"), endpoint.service_name().unwrap_or("?"));
        Fate::Foreign(format!(
            "VPC endpoint {id}{} (service {service}, owner {owner}): aws ec2 delete-vpc-endpoints --region {} \
             --vpc-endpoint-ids {id}",
            named(tags),
            self.aws_region
        ))
    }

    /// Interfaces that a NAT gateway or an endpoint owns are deleted with it.
    pub fn interface(&self, interface: &NetworkInterface) -> Fate {
        let tags = interface.tag_set();
        let id = interface.network_interface_id().unwrap_or("?");
        let description = interface.description().unwrap_or_default();
        let kind = interface.interface_type().map_or("interface", |kind| kind.as_str());
        // AWS writes `nat_gateway` and `vpc_endpoint`, and has used other spellings.
        if kind.to_lowercase().contains("nat") || kind.to_lowercase().contains("endpoint") {
            return Fate::Managed;
        }
        let is_available = interface.status().is_some_and(|status| status.as_str() == "available");
        let is_ours = value(tags, CNI) == Some(self.cluster)
            || value(tags, &format!("kubernetes.io/cluster/{}", self.cluster)) == Some("owned")
            || description == format!("Amazon EKS {}", self.cluster)
            || self.is_of_stack(tags);
        if is_ours {
            return if is_available { Fate::Delete } else { Fate::Wait(format!("{id} ({description})")) };
        }
        let owner = interface.owner_id().unwrap_or("?");
        if let Some(instance) = interface.attachment().and_then(|attachment| attachment.instance_id()) {
            return Fate::Foreign(format!(
                "instance {instance} (interface {id}{}, owner {owner}): aws ec2 terminate-instances --region {} \
                 --instance-ids {instance}",
                named(tags),
                self.aws_region
            ));
        }
        if interface.requester_managed() == Some(true) {
            return Fate::Wait(format!("{id} ({description})"));
        }
        Fate::Foreign(format!(
            "network interface {id}{} ({description}, owner {owner}): aws ec2 delete-network-interface --region {} \
             --network-interface-id {id}",
            named(tags),
            self.aws_region
        ))
    }

    pub fn group(&self, group: &SecurityGroup) -> Fate {
        let tags = group.tags();
        let id = group.group_id().unwrap_or("?");
        let name = group.group_name().unwrap_or("?");
        if name == "default" || self.is_of_stack(tags) {
            return Fate::Managed;
        }
        let is_ours = value(tags, BALANCERS) == Some(self.cluster)
            || value(tags, &format!("kubernetes.io/cluster/{}", self.cluster)) == Some("owned")
            || value(tags, GUARDDUTY) == Some("true");
        if is_ours {
            return Fate::Delete;
        }
        let owner = group.owner_id().unwrap_or("?");
        Fate::Foreign(format!(
            "security group {id} `{name}` (owner {owner}): aws ec2 delete-security-group --region {} --group-id {id}",
            self.aws_region
        ))
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::{
        NetworkInterfaceAttachment, NetworkInterfaceStatus, NetworkInterfaceType, State,
        builders::NetworkInterfaceBuilder,
    };

    use super::*;

    const OWNER: Owner<'_> =
        Owner { aws_region: "eu-south-2", project: "pay", region: "spain", cluster: "pay-spain" };

    fn tag(key: &str, value: &str) -> Tag {
        Tag::builder().key(key).value(value).build()
    }

    fn interface(status: NetworkInterfaceStatus) -> NetworkInterfaceBuilder {
        NetworkInterface::builder().network_interface_id("eni-1").owner_id("123456789012").status(status)
    }

    #[test]
    fn an_interface_that_the_network_plugin_leaked_is_deleted_once_it_is_available() {
        let leaked = |status| interface(status).tag_set(tag(CNI, "pay-spain")).build();
        assert_eq!(OWNER.interface(&leaked(NetworkInterfaceStatus::Available)), Fate::Delete);
        let attached = OWNER.interface(&leaked(NetworkInterfaceStatus::InUse));
        assert!(matches!(attached, Fate::Wait(_)), "{attached:?}");
        let other = interface(NetworkInterfaceStatus::Available).tag_set(tag(CNI, "pay-mexico")).build();
        assert!(matches!(OWNER.interface(&other), Fate::Foreign(_)));
    }

    #[test]
    fn an_interface_of_the_control_plane_is_known_by_its_description() {
        let interface = interface(NetworkInterfaceStatus::Available).description("Amazon EKS pay-spain");
        assert_eq!(OWNER.interface(&interface.build()), Fate::Delete);
    }

    #[test]
    fn an_instance_of_others_is_reported_with_its_owner_and_the_command() {
        let attachment = NetworkInterfaceAttachment::builder().instance_id("i-9").build();
        let found = interface(NetworkInterfaceStatus::InUse).tag_set(tag("Name", "bastion"));
        assert_eq!(
            OWNER.interface(&found.attachment(attachment).build()),
            Fate::Foreign(
                "instance i-9 (interface eni-1 `bastion`, owner 123456789012): aws ec2 terminate-instances \
                 --region eu-south-2 --instance-ids i-9"
                    .to_owned()
            )
        );
    }

    #[test]
    fn what_a_service_is_about_to_release_is_waited_for() {
        let found = interface(NetworkInterfaceStatus::InUse).requester_managed(true);
        let fate = OWNER.interface(&found.description("RDSNetworkInterface").build());
        assert_eq!(fate, Fate::Wait("eni-1 (RDSNetworkInterface)".to_owned()));
        let gateway =
            interface(NetworkInterfaceStatus::InUse).interface_type(NetworkInterfaceType::NatGateway);
        assert_eq!(OWNER.interface(&gateway.build()), Fate::Managed);
    }

    #[test]
    fn guard_dutys_endpoints_are_deleted_and_those_of_others_reported() {
        let endpoint = || VpcEndpoint::builder().vpc_endpoint_id("vpce-1").state(State::Available);
        assert_eq!(OWNER.endpoint(&endpoint().tags(tag(GUARDDUTY, "true")).build()), Fate::Delete);
        assert!(matches!(OWNER.endpoint(&endpoint().build()), Fate::Foreign(_)));
        let ours = endpoint().tags(tag("Project", "pay")).tags(tag("Region", "spain"));
        assert_eq!(OWNER.endpoint(&ours.tags(tag("ManagedBy", "terraform")).build()), Fate::Managed);
    }

    #[test]
    fn security_groups_of_the_cluster_are_deleted_those_of_stacks_kept_and_others_reported() {
        let group = |name: &str, tags: &[(&str, &str)]| {
            let tags = tags.iter().map(|(key, value)| tag(key, value)).collect();
            OWNER.group(
                &SecurityGroup::builder().group_id("sg-1").group_name(name).set_tags(Some(tags)).build(),
            )
        };
        assert_eq!(group("default", &[]), Fate::Managed);
        assert_eq!(group("k8s-x", &[(BALANCERS, "pay-spain")]), Fate::Delete);
        assert_eq!(group("eks-x", &[("kubernetes.io/cluster/pay-spain", "owned")]), Fate::Delete);
        let stack = [("Project", "pay"), ("Region", "spain"), ("ManagedBy", "terraform")];
        let shared = [&stack[..], &[("kubernetes.io/cluster/pay-spain", "owned")]].concat();
        assert_eq!(group("nodes", &shared), Fate::Managed);
        assert!(matches!(group("other", &[]), Fate::Foreign(why) if why.contains("`other` (owner ?)")));
    }
}
