"""What GuardDuty's runtime monitoring adds to a cluster's VPC, outside of anyone's Terraform."""

from __future__ import annotations

from moto.ec2.models import ec2_backends
from moto.eks.models import Cluster

TAGS = {"GuardDutyManaged": "true"}


def protect(account: str, region: str, cluster: Cluster) -> None:
    """Adds an interface endpoint in the cluster's subnets and its security group, once per VPC."""
    ec2, config = ec2_backends[account][region], cluster.resources_vpc_config
    vpc, service = config["vpcId"], f"com.amazonaws.{region}.guardduty-data"
    if any((one.vpc_id, one.service_name) == (vpc, service) for one in ec2.vpc_end_points.values()):
        return
    group = ec2.create_security_group(
        f"GuardDutyManagedSecurityGroup-{vpc}", "Associated with VPC-" + vpc, vpc_id=vpc, tags=TAGS
    )
    ec2.authorize_security_group_ingress(group.id, "tcp", "443", "443", [{"CidrIp": ec2.get_vpc(vpc).cidr_block}])
    subnets = list(config["subnetIds"])
    ec2.create_vpc_endpoint(
        vpc, service, "Interface", None, [], subnets, security_group_ids=[group.id], tags=TAGS, private_dns_enabled=True
    )
