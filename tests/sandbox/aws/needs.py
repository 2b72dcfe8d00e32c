"""Which IAM actions an API call needs, on which resources, with which condition keys.

`TABLE` is the whole list: the calls that pods make, those of our add-ons and of the load balancer controller in its real
version. It follows the Service Authorization Reference (docs.aws.amazon.com/service-authorization/latest/reference). A call
that it does not contain is unknown: `guard.py` denies it to pods, so a new call of an add-on needs a new entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from moto.ec2.models import ec2_backends
from moto.elbv2.models import elbv2_backends
from moto.secretsmanager.models import secretsmanager_backends

from .conditions import listed

Facts = Mapping[str, str | list[str]]


@dataclass(frozen=True)
class Need:
    """One permission that a call needs. The resource `*` means that the action supports no ARN."""

    action: str
    resource: str = "*"
    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """An API call: `service` is the signing name, `operation` that of the API reference."""

    account: str
    region: str
    service: str
    operation: str
    parameters: dict[str, Any]

    @property
    def action(self) -> str:
        return f"{self.service}:{self.operation}"

    def arn(self, service: str, resource: str, *, everywhere: bool = False) -> str:
        place = ":" if everywhere else f"{self.region}:{self.account}"
        return f"arn:aws:{service}:{place}:{resource}"


Rule = Callable[[Asked], list[Need]]


def tag_facts(tags: Iterable[Mapping[str, str]] | None, *prefixes: str) -> Facts:
    return {f"{prefix}/{tag['Key']}": tag.get("Value", "") for tag in tags or () for prefix in prefixes}


def requested(tags: list[dict[str, str]] | None) -> Facts:
    """The condition keys of the tags in a request."""
    return {**tag_facts(tags, "aws:RequestTag"), "aws:TagKeys": [tag["Key"] for tag in tags or ()]} if tags else {}


def anything(asked: Asked) -> list[Need]:
    """For actions without resource-level permissions: most that read or list."""
    return [Need(asked.action)]


def nothing(_asked: Asked) -> list[Need]:
    """For actions that need no permission."""
    return []


# EC2

EC2_KINDS = {"eni": "network-interface", "i": "instance", "sg": "security-group", "subnet": "subnet", "vol": "volume", "vpc": "vpc"}


def _ec2(asked: Asked, resource_id: str) -> tuple[str, Facts]:
    """The ARN and the tags of an EC2 resource."""
    kind = EC2_KINDS.get(resource_id.split("-")[0], "resource")
    backend = ec2_backends[asked.account][asked.region]
    tags = [{"Key": tag["key"], "Value": tag["value"]} for tag in backend.describe_tags({"resource-id": [resource_id]})]
    return asked.arn("ec2", f"{kind}/{resource_id}"), tag_facts(tags, "aws:ResourceTag", "ec2:ResourceTag")


def ec2_group(asked: Asked) -> list[Need]:
    return [Need(asked.action, *_ec2(asked, asked.parameters.get("GroupId", "sg-")))]


def ec2_tags(asked: Asked) -> list[Need]:
    given = requested(asked.parameters.get("Tags"))
    found = [_ec2(asked, one) for one in asked.parameters.get("Resources", [])]
    return [Need(asked.action, arn, {**tags, **given}) for arn, tags in found]


def ec2_create_group(asked: Asked) -> list[Need]:
    group = asked.arn("ec2", "security-group/*")
    specifications = asked.parameters.get("TagSpecifications") or [{}]
    given = requested(specifications[0].get("Tags"))
    tagged = [Need("ec2:CreateTags", group, {**given, "ec2:CreateAction": asked.operation})] if given else []
    vpc = Need(asked.action, *_ec2(asked, asked.parameters.get("VpcId", "vpc-")))
    return [Need(asked.action, group, given), vpc, *tagged]


def ec2_vpc(asked: Asked) -> list[Need]:
    return [Need(asked.action, *_ec2(asked, asked.parameters.get("VpcId", "vpc-")))]


# Elastic Load Balancing


def _elb(asked: Asked, arn: str) -> tuple[str, Facts]:
    backend = elbv2_backends[asked.account][asked.region]
    tags = backend.tagging_service.get_tag_dict_for_resource(arn)
    pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
    return arn, tag_facts(pairs, "aws:ResourceTag", "elasticloadbalancing:ResourceTag")


def elb(*names: str) -> Rule:
    """The resources whose ARNs are in the parameters `names`."""

    def rule(asked: Asked) -> list[Need]:
        arns = [one for name in names for one in listed(asked.parameters.get(name))]
        given = requested(asked.parameters.get("Tags"))
        found = [_elb(asked, arn) for arn in arns]
        return [Need(asked.action, arn, {**tags, **given}) for arn, tags in found]

    return rule


def elb_priorities(asked: Asked) -> list[Need]:
    return [Need(asked.action, *_elb(asked, one["RuleArn"])) for one in asked.parameters.get("RulePriorities", [])]


def _elb_created(asked: Asked, action_on: Need, new: str) -> list[Need]:
    """An action that creates a resource. Its tags need the permission to add tags to what the action creates."""
    given = requested(asked.parameters.get("Tags"))
    add = Need("elasticloadbalancing:AddTags", new, {**given, "elasticloadbalancing:CreateAction": asked.operation})
    return [action_on, add] if given else [action_on]


def elb_create_balancer(asked: Asked) -> list[Need]:
    kind = {"network": "net", "gateway": "gwy"}.get(asked.parameters.get("Type", ""), "app")
    new = asked.arn("elasticloadbalancing", f"loadbalancer/{kind}/{asked.parameters.get('Name')}/*")
    return _elb_created(asked, Need(asked.action, new, requested(asked.parameters.get("Tags"))), new)


def elb_create_group(asked: Asked) -> list[Need]:
    new = asked.arn("elasticloadbalancing", f"targetgroup/{asked.parameters.get('Name')}/*")
    return _elb_created(asked, Need(asked.action, new, requested(asked.parameters.get("Tags"))), new)


def elb_create_below(parameter: str, kind: str, below: str) -> Rule:
    """Listeners are created on a load balancer, rules on a listener."""

    def rule(asked: Asked) -> list[Need]:
        arn, tags = _elb(asked, asked.parameters.get(parameter, ""))
        given = requested(asked.parameters.get("Tags"))
        new = arn.replace(f":{kind}/", f":{below}/") + "/*"
        return _elb_created(asked, Need(asked.action, arn, {**tags, **given}), new)

    return rule


# Route 53

RECORDS = "route53:ChangeResourceRecordSets"


def _zone(asked: Asked, zone: str) -> str:
    return asked.arn("route53", f"hostedzone/{zone.rsplit('/', 1)[-1]}", everywhere=True)


def route53_zone(*names: str) -> Rule:
    def rule(asked: Asked) -> list[Need]:
        zones = [one for name in names for one in listed(asked.parameters.get(name))]
        return [Need(asked.action, _zone(asked, zone)) for zone in zones]

    return rule


def route53_change(asked: Asked) -> list[Need]:
    return [Need(asked.action, asked.arn("route53", f"change/{asked.parameters.get('Id')}", everywhere=True))]


def route53_records(asked: Asked) -> list[Need]:
    changes = (asked.parameters.get("ChangeBatch") or {}).get("Changes", [])
    sets = [change["ResourceRecordSet"] for change in changes]
    # Normalized: lower case, without the final dot, with \052 for the asterisk of a wildcard record.
    names = [one["Name"].lower().rstrip(".").replace("*", "\\052") for one in sets]
    known = {
        f"{RECORDS}NormalizedRecordNames": names,
        f"{RECORDS}RecordTypes": [one["Type"] for one in sets],
        f"{RECORDS}Actions": [change["Action"] for change in changes],
    }
    return [Need(asked.action, _zone(asked, asked.parameters.get("HostedZoneId", "")), known)]


# Secrets Manager


def secret(asked: Asked) -> Any:
    """The secret that a call names by ARN or name, or None."""
    return secretsmanager_backends[asked.account][asked.region].secrets.get(asked.parameters.get("SecretId", ""))


def secret_named(asked: Asked) -> list[Need]:
    found = secret(asked)
    arn = found.arn if found else asked.arn("secretsmanager", f"secret:{asked.parameters.get('SecretId')}")
    tags = tag_facts(found.tags if found else (), "aws:ResourceTag", "secretsmanager:ResourceTag")
    return [Need(asked.action, arn, {**tags, "secretsmanager:SecretId": arn})]


# Others


def certificate(asked: Asked) -> list[Need]:
    return [Need(asked.action, asked.parameters.get("CertificateArn", "*"))]


def protected_by_waf(asked: Asked) -> list[Need]:
    acl = Need(asked.action, asked.arn("wafv2", "regional/webacl/*"))
    return [acl, Need(asked.action, *_elb(asked, asked.parameters.get("ResourceArn", "")))]


def linked_role(asked: Asked) -> list[Need]:
    service = asked.parameters.get("AWSServiceName", "")
    role = f"arn:aws:iam::{asked.account}:role/aws-service-role/{service}/*"
    return [Need(asked.action, role, {"iam:AWSServiceName": service})]


def _table(rules: dict[str, dict[Rule, str]]) -> dict[str, Rule]:
    return {
        f"{service}:{name}": rule
        for service, by_rule in rules.items()
        for rule, names in by_rule.items()
        for name in names.split()
    }


TABLE: dict[str, Rule] = _table(
    {
        "acm": {anything: "ListCertificates", certificate: "DescribeCertificate"},
        "ec2": {
            anything: "DescribeAccountAttributes DescribeAddresses DescribeAvailabilityZones DescribeInstances"
            " DescribeInternetGateways DescribeNetworkInterfaces DescribeRouteTables DescribeSecurityGroups DescribeSubnets"
            " DescribeTags DescribeVpcPeeringConnections DescribeVpcs",
            ec2_create_group: "CreateSecurityGroup",
            ec2_group: "AuthorizeSecurityGroupIngress AuthorizeSecurityGroupEgress DeleteSecurityGroup"
            " RevokeSecurityGroupIngress RevokeSecurityGroupEgress",
            ec2_tags: "CreateTags DeleteTags",
            ec2_vpc: "GetSecurityGroupsForVpc",
        },
        "elasticloadbalancing": {
            anything: "DescribeCapacityReservation DescribeListenerAttributes DescribeListenerCertificates DescribeListeners"
            " DescribeLoadBalancerAttributes DescribeLoadBalancers DescribeRules DescribeSSLPolicies DescribeTags"
            " DescribeTargetGroupAttributes DescribeTargetGroups DescribeTargetHealth DescribeTrustStores",
            elb("ResourceArns"): "AddTags RemoveTags",
            elb("LoadBalancerArn"): "DeleteLoadBalancer ModifyLoadBalancerAttributes SetIpAddressType SetSecurityGroups"
            " SetSubnets",
            elb("TargetGroupArn"): "DeleteTargetGroup DeregisterTargets ModifyTargetGroup ModifyTargetGroupAttributes"
            " RegisterTargets",
            elb("ListenerArn"): "AddListenerCertificates DeleteListener ModifyListener ModifyListenerAttributes"
            " RemoveListenerCertificates",
            elb("RuleArn"): "DeleteRule ModifyRule",
            elb_priorities: "SetRulePriorities",
            elb_create_balancer: "CreateLoadBalancer",
            elb_create_group: "CreateTargetGroup",
            elb_create_below("LoadBalancerArn", "loadbalancer", "listener"): "CreateListener",
            elb_create_below("ListenerArn", "listener", "listener-rule"): "CreateRule",
        },
        "iam": {linked_role: "CreateServiceLinkedRole"},
        "route53": {
            anything: "ListHostedZones ListHostedZonesByName",
            route53_zone("HostedZoneId"): "ListResourceRecordSets",
            route53_zone("ResourceId", "ResourceIds"): "ListTagsForResource ListTagsForResources",
            route53_zone("Id"): "GetHostedZone",
            route53_change: "GetChange",
            route53_records: "ChangeResourceRecordSets",
        },
        "secretsmanager": {anything: "ListSecrets", secret_named: "DescribeSecret GetSecretValue"},
        # Every caller may ask who it is, whatever its policies say.
        "sts": {nothing: "GetCallerIdentity"},
        "wafv2": {protected_by_waf: "GetWebACLForResource"},
    }
)


def of(asked: Asked) -> list[Need] | None:
    """What a call needs, or None if the table does not contain it."""
    rule = TABLE.get(asked.action)
    return None if rule is None else rule(asked)
