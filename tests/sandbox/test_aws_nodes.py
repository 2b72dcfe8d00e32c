"""What EC2 has of an EKS node group: instances, network interfaces, volumes; and what remains of them."""

import unittest

from aws import faults, logs, nodes, reach, required_tags, server
from moto.ec2.exceptions import DependencyViolationError
from moto.ec2.models import ec2_backends
from moto.eks.models import eks_backends
from moto.iam.models import iam_backends
from moto.logs.models import logs_backends

import places

ACCOUNT, REGION = places.ACCOUNT, "eu-south-2"
TAGS = {"Project": "p", "Environment": "staging", "Region": "spain", "ManagedBy": "terraform"}
TRUST = '{"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": ["eks.amazonaws.com", "ec2.amazonaws.com"]}}]}'
LOGGING = {"clusterLogging": [{"types": ["api"], "enabled": True}]}

server.application()


class Groups(unittest.TestCase):
    """A cluster in a VPC with two subnets, whose node groups have a launch template."""

    def setUp(self):
        # The account starts empty. Backends that hold each other's resources must be replaced together.
        for backends in (ec2_backends, eks_backends, logs_backends):
            backends.pop(ACCOUNT, None)
        faults.set_settling([])
        self.ec2, self.eks = ec2_backends[ACCOUNT][REGION], eks_backends[ACCOUNT][REGION]
        self.logs = logs_backends[ACCOUNT][REGION]
        vpc = self.ec2.create_vpc("10.10.0.0/16")
        self.vpc = vpc.id
        zones = [f"{REGION}a", f"{REGION}b"]
        self.subnets = [self.ec2.create_subnet(vpc.id, f"10.10.{n}.0/24", availability_zone=zone).id for n, zone in enumerate(zones)]
        self.group = self.ec2.create_security_group("node", "x", vpc_id=vpc.id).id
        iam = iam_backends[ACCOUNT]["aws"]
        known = [role for role in iam.get_roles() if role.name == "nodes"]
        self.role = (known or [iam.create_role("nodes", TRUST, "/", None, "", [], "3600")])[0].arn
        self.cluster = self.eks.open_cluster(
            {"name": "c", "role_arn": self.role, "resources_vpc_config": {"subnetIds": self.subnets}, "logging": LOGGING},
            {"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": False}, f"arn:aws:iam::{ACCOUNT}:user/x", {})

    def add(self, name: str, **data: object) -> object:
        specs = [{"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in TAGS.items()]}
                 for kind in ("instance", "volume", "network-interface")]
        data = {"SecurityGroupIds": [self.group], "TagSpecifications": specs,
                "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 30, "DeleteOnTermination": True}}], **data}
        template = self.ec2.create_launch_template(name, "", data, {})
        group = {"cluster_name": "c", "nodegroup_name": name, "subnets": self.subnets, "node_role": self.role,
                 "scaling_config": None, "instance_types": ["t3.medium"], "labels": {}, "taints": [], "tags": {},
                 "launch_template": {"id": template.id, "version": "1"}}
        self.eks.open_nodegroup(group, None)
        (instance,) = nodes.of_group(ACCOUNT, REGION, "c", name)
        return instance

    def test_an_instance_has_its_subnet_groups_and_tags(self):
        instance = self.add("system")
        self.assertEqual((instance.state, instance.instance_type), ("running", "t3.medium"))
        self.assertIn(instance.subnet_id, self.subnets)
        self.assertEqual(nodes.provider_id(instance), f"aws:///{REGION}a/{instance.id}")
        tags = nodes.tags(instance)
        self.assertEqual(tags["eks:cluster-name"], "c")
        self.assertEqual(tags["kubernetes.io/cluster/c"], "owned")
        self.assertLessEqual(TAGS.items(), tags.items())
        (interface,) = instance.nics.values()
        self.assertEqual([one.id for one in interface.group_set], [self.group])
        self.assertEqual(interface.attachment.instance_id, instance.id)
        # DescribeInstances finds it by its id. It answered InvalidInstanceID.NotFound for every node before.
        self.assertEqual(self.ec2.get_reservations_by_instance_ids([instance.id])[0].instances, [instance])

    def test_a_template_without_groups_gets_the_clusters(self):
        instance = self.add("system", SecurityGroupIds=[])
        wanted = self.cluster.resources_vpc_config["clusterSecurityGroupId"]
        self.assertEqual([one.id for one in instance.nics[0].group_set], [wanted])

    def test_groups_are_spread_over_the_subnets(self):
        self.assertEqual({self.add(name).subnet_id for name in ("system", "application")}, set(self.subnets))

    def test_a_joined_node_is_found_by_its_pods(self):
        instance = self.add("system")
        nodes.joined(instance, "10.89.1.3", "10.91.1.0/24")
        self.assertEqual(instance.private_ip_address, "10.89.1.3")
        self.assertEqual(instance.private_dns_name, f"ip-10-89-1-3.{REGION}.compute.internal")
        self.assertIs(nodes.interface_with(ACCOUNT, REGION, "10.91.1.77"), instance.nics[0])
        self.assertIsNone(nodes.interface_with(ACCOUNT, REGION, "10.91.2.77"))

    def test_a_group_in_use_by_a_node_cannot_be_deleted(self):
        self.add("system")
        with self.assertRaises(DependencyViolationError):
            self.ec2.delete_security_group(group_id=self.group)

    def test_nothing_of_a_deleted_group_remains(self):
        self.add("system")
        self.eks.delete_nodegroup("c", "system")
        self.assertEqual(nodes.of_group(ACCOUNT, REGION, "c", "system"), [])
        self.assertEqual((list(self.ec2.enis), list(self.ec2.volumes)), ([], []))
        self.ec2.delete_security_group(group_id=self.group)

    def test_an_interface_of_the_network_plugin_can_leak(self):
        instance = self.add("system")
        faults.set_settling([faults.Rule(leak="network-interface")])
        self.eks.delete_nodegroup("c", "system")
        (leaked,) = self.ec2.enis.values()
        self.assertEqual((leaked.status, leaked.description), ("available", f"aws-K8S-{instance.id}"))
        self.assertEqual(nodes.tags(leaked)["cluster.k8s.amazonaws.com/name"], "c")
        faults.set_settling([])
        self.eks.delete_cluster("c")
        with self.assertRaises(DependencyViolationError):
            self.ec2.delete_subnet(leaked.subnet_id)
        self.ec2.delete_network_interface(leaked.id)
        self.ec2.delete_subnet(leaked.subnet_id)

    def test_eks_recreates_the_log_group_of_a_living_cluster(self):
        name = logs.group_of("c")
        self.assertIn(name, self.logs.groups)
        self.logs.delete_log_group(name)
        self.assertIn(name, self.logs.groups)
        self.eks.delete_cluster("c")
        self.logs.delete_log_group(name)
        self.assertNotIn(name, self.logs.groups)

    def test_the_log_group_can_come_back_once_after_the_cluster(self):
        name = logs.group_of("c")
        faults.set_settling([faults.Rule(leak="log-group")])
        self.eks.delete_cluster("c")
        self.logs.delete_log_group(name)
        self.assertIn(name, self.logs.groups)
        self.logs.delete_log_group(name)
        self.assertNotIn(name, self.logs.groups)

    def test_guardduty_can_hold_the_vpc(self):
        faults.set_settling([faults.Rule(leak="guardduty")])
        self.add("system")
        faults.set_settling([])
        self.eks.delete_nodegroup("c", "system")
        self.eks.delete_cluster("c")
        (endpoint,) = self.ec2.vpc_end_points.values()
        self.assertEqual(nodes.tags(endpoint), {"GuardDutyManaged": "true"})
        for subnet in self.subnets:
            with self.assertRaises(DependencyViolationError):
                self.ec2.delete_subnet(subnet)
        self.ec2.delete_vpc_endpoints([endpoint.id])
        for subnet in self.subnets:
            self.ec2.delete_subnet(subnet)
        (left,) = [one for one in self.ec2.groups[self.vpc].values() if one.name.startswith("GuardDuty")]
        self.assertEqual(nodes.tags(left), {"GuardDutyManaged": "true"})

    def test_a_node_reaches_only_the_ports_of_its_groups_rules(self):
        instance = self.add("system")
        group = self.ec2.get_security_group_from_id(self.group)
        self.ec2.revoke_security_group_egress(self.group, "-1", None, None, [{"CidrIp": "0.0.0.0/0"}])
        self.ec2.authorize_security_group_egress(self.group, "tcp", "443", "443", [{"CidrIp": "0.0.0.0/0"}])
        name = instance.private_dns_name
        self.assertEqual(reach.egress(ACCOUNT, REGION, "203.0.113.7", 443), {name: True})
        self.assertEqual(reach.egress(ACCOUNT, REGION, "203.0.113.7", 22), {name: False})
        other = self.ec2.create_security_group("database", "x", vpc_id=self.vpc)
        self.assertFalse(reach.between([group], [other], "10.10.9.9", 443))
        self.ec2.authorize_security_group_ingress(other.id, "tcp", "443", "443", [], source_groups=[{"GroupId": self.group}])
        self.assertTrue(reach.between([group], [other], "10.10.9.9", 443))
        self.assertFalse(reach.between([group], [other], "10.10.9.9", 5432))

    def test_resources_of_a_node_without_the_required_tags_are_named(self):
        def lacking(kind: str, identity: str) -> list:
            return required_tags.missing("ec2", self.ec2, kind, identity)

        instance = self.add("system")
        (volume,) = self.ec2.volumes
        everything = [("instance", instance.id), ("volume", volume), ("network-interface", instance.nics[0].id)]
        self.assertEqual([lacking(*one) for one in everything], [[], [], []])
        instance = self.add("application", TagSpecifications=[])
        self.assertEqual(lacking("instance", instance.id), list(required_tags.REQUIRED))
        # EKS's own group is not ours to tag.
        self.assertEqual(lacking("security-group", self.cluster.resources_vpc_config["clusterSecurityGroupId"]), [])
        self.assertEqual(lacking("security-group", self.group), list(required_tags.REQUIRED))


if __name__ == "__main__":
    unittest.main()
