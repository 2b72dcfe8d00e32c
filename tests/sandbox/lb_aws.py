"""The AWS side of the load balancer controller: brings the account to the state that a model describes.

The resources of an Ingress are found by the real controller's tags, never by a record of our own. `deploy` proceeds in
dependency order: security groups and the pods' rules for them, target groups with their targets, load balancer, listeners
with their rules, then deletion of the Ingress's load balancers and target groups that the model no longer names. Applying a
model twice changes nothing the second time.
"""
import ipaddress

from lb_model import ModelError, backend_group_name

CLUSTER_TAG, STACK_TAG, RESOURCE_TAG = "elbv2.k8s.aws/cluster", "ingress.k8s.aws/stack", "ingress.k8s.aws/resource"
SHARED_TAG = "elbv2.k8s.aws/resource"
NODE_RULE = "elbv2.k8s.aws/targetGroupBinding=shared"


class Aws:
    """Brings the account to a model's state and removes everything else of that Ingress."""

    def __init__(self, options):
        import boto3
        from botocore.config import Config

        config = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "max_attempts": 3})
        self.elb = boto3.client("elbv2", region_name=options.aws_region, config=config)
        self.ec2 = boto3.client("ec2", region_name=options.aws_region, config=config)
        self.cluster, self.vpc, self.default_tags = options.cluster_name, options.aws_vpc_id, options.default_tags
        self.ranges = None

    def tags(self, stack, resource, more=()):
        return {**dict(more), **self.default_tags, CLUSTER_TAG: self.cluster, STACK_TAG: stack, RESOURCE_TAG: resource}

    def owned(self, stack):
        """The load balancers and target groups of an Ingress, each as {name: description}."""
        return (self._tagged("describe_load_balancers", "LoadBalancers", "LoadBalancer", stack),
                self._tagged("describe_target_groups", "TargetGroups", "TargetGroup", stack))

    def _tagged(self, operation, field, kind, stack):
        items = [item for page in self.elb.get_paginator(operation).paginate() for item in page[field]]
        by_arn = {item[f"{kind}Arn"]: item for item in items}
        found = {}
        for start in range(0, len(items), 20):  # DescribeTags accepts at most 20 ARNs.
            described = self.elb.describe_tags(ResourceArns=list(by_arn)[start:start + 20])["TagDescriptions"]
            for item in described:
                tags = {tag["Key"]: tag["Value"] for tag in item["Tags"]}
                if (tags.get(CLUSTER_TAG), tags.get(STACK_TAG)) == (self.cluster, stack):
                    found[by_arn[item["ResourceArn"]][f"{kind}Name"]] = by_arn[item["ResourceArn"]]
                    if missing := self.default_tags.items() - tags.items():
                        self.elb.add_tags(ResourceArns=[item["ResourceArn"]], Tags=aws_tags(dict(missing)))
        return found

    def deploy(self, model, endpoints):
        """Returns the load balancer's host name, and the target groups' ARNs by name.

        `endpoints` are those of all Ingresses, for `sync_endpoint_rules`.
        """
        balancers, groups = self.owned(model["stack"])
        backend = self.backend_group(create=True) if model["manage_rules"] else None
        self.sync_endpoint_rules(endpoints)
        frontend = model["groups"] or [self.frontend_group(model)]
        security = [*frontend, *([backend] if backend else [])]
        arns = {name: self.sync_target_group(model, wanted, groups.get(name)) for name, wanted in model["target_groups"].items()}
        balancer = balancers.get(model["name"]) or self.create_balancer(model, security)
        arn = balancer["LoadBalancerArn"]
        if set(balancer.get("SecurityGroups") or []) != set(security):
            self.elb.set_security_groups(LoadBalancerArn=arn, SecurityGroups=security)
        if model["attributes"]:
            self.elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=attributes(model["attributes"]))
        self.sync_listeners(model, arn, arns)
        for name, stale in balancers.items():
            if name != model["name"]:
                self.elb.delete_load_balancer(LoadBalancerArn=stale["LoadBalancerArn"])
        for name, stale in groups.items():
            if name not in arns:
                self.elb.delete_target_group(TargetGroupArn=stale["TargetGroupArn"])
        return balancer["DNSName"].lower(), arns

    def create_balancer(self, model, security):
        tags = self.tags(model["stack"], "LoadBalancer", model["tags"])
        return self.elb.create_load_balancer(
            Name=model["name"], Type="application", Scheme=model["scheme"], IpAddressType="ipv4", SecurityGroups=security,
            Subnets=model["subnets"] or self.discover_subnets(model["scheme"]), Tags=aws_tags(tags))["LoadBalancers"][0]

    def discover_subnets(self, scheme):
        role = "kubernetes.io/role/" + ("elb" if scheme == "internet-facing" else "internal-elb")
        filters = [{"Name": "vpc-id", "Values": [self.vpc]}, {"Name": "tag-key", "Values": [role]}]
        subnets = [subnet for page in self.ec2.get_paginator("describe_subnets").paginate(Filters=filters) for subnet in page["Subnets"]]
        subnets.sort(key=lambda subnet: subnet["SubnetId"], reverse=True)
        zones = {subnet["AvailabilityZone"]: subnet["SubnetId"] for subnet in subnets}
        if len(zones) < 2:
            raise ModelError("couldn't auto-discover subnets: subnets count less than minimal required count: "
                             f"{len(zones)} < 2 ({len(subnets)} match VPC and tag {role})")
        return sorted(zones.values())

    def sync_target_group(self, model, wanted, present):
        if present is None:
            tags = self.tags(model["stack"], wanted["resource"], model["tags"])
            present = self.elb.create_target_group(
                Name=wanted["name"], TargetType="ip", Protocol=wanted["protocol"], ProtocolVersion=wanted["version"],
                Port=wanted["port"], VpcId=self.vpc, HealthCheckEnabled=True, **wanted["health"], Tags=aws_tags(tags))["TargetGroups"][0]
        elif any(present.get(field) != value for field, value in wanted["health"].items()):
            self.elb.modify_target_group(TargetGroupArn=present["TargetGroupArn"], HealthCheckEnabled=True, **wanted["health"])
        arn = present["TargetGroupArn"]
        if wanted["attributes"]:
            self.elb.modify_target_group_attributes(TargetGroupArn=arn, Attributes=attributes(wanted["attributes"]))
        self.sync_targets(arn, {tuple(target) for target in wanted["targets"]})
        return arn

    def sync_targets(self, arn, wanted):
        healths = self.elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        targets = [health["Target"] for health in healths if health["TargetHealth"]["State"] != "draining"]
        registered = {(target["Id"], target["Port"]) for target in targets}
        if surplus := sorted(registered - wanted):
            self.elb.deregister_targets(TargetGroupArn=arn, Targets=[{"Id": address, "Port": port} for address, port in surplus])
        if missing := sorted(wanted - registered):
            self.elb.register_targets(TargetGroupArn=arn, Targets=[self.target(*target) for target in missing])

    def target_health(self, arn):
        """The health of a group's targets by address."""
        described = self.elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        return {one["Target"]["Id"]: one["TargetHealth"] for one in described}

    def target(self, address, port):
        """A target for RegisterTargets. ELB accepts an address outside the VPC only with AvailabilityZone `all`."""
        if self.ranges is None:
            vpc = self.ec2.describe_vpcs(VpcIds=[self.vpc])["Vpcs"][0]
            blocks = vpc.get("CidrBlockAssociationSet") or [vpc]
            self.ranges = [ipaddress.ip_network(block["CidrBlock"]) for block in blocks]
        outside = not any(ipaddress.ip_address(address) in network for network in self.ranges)
        return {"Id": address, "Port": port, **({"AvailabilityZone": "all"} if outside else {})}

    def sync_listeners(self, model, balancer, arns):
        described = self.elb.describe_listeners(LoadBalancerArn=balancer)["Listeners"]
        present = {str(listener["Port"]): listener for listener in described}
        for port, wanted in model["listeners"].items():
            settings = {"Protocol": wanted["protocol"], "DefaultActions": [action(wanted["default"], arns)]}
            first, *more = wanted.get("certificates", [None])
            if first:
                settings |= {"SslPolicy": wanted["policy"], "Certificates": [{"CertificateArn": first}]}
            listener = present.pop(port, None)
            if listener is None:
                tags = self.tags(model["stack"], port, model["tags"])
                listener = self.elb.create_listener(LoadBalancerArn=balancer, Port=int(port), **settings, Tags=aws_tags(tags))["Listeners"][0]
            elif listener_differs(listener, settings):
                self.elb.modify_listener(ListenerArn=listener["ListenerArn"], Port=int(port), **settings)
            arn = listener["ListenerArn"]
            if more:
                self.elb.add_listener_certificates(ListenerArn=arn, Certificates=[{"CertificateArn": certificate} for certificate in more])
            self.sync_rules(model, port, arn, [(conditions(rule), [action(rule["action"], arns)]) for rule in wanted["rules"]])
        for listener in present.values():
            self.elb.delete_listener(ListenerArn=listener["ListenerArn"])

    def sync_rules(self, model, port, listener, wanted):
        present = [rule for rule in self.elb.describe_rules(ListenerArn=listener)["Rules"] if not rule["IsDefault"]]
        present.sort(key=lambda rule: int(rule["Priority"]))
        existing = [(values(rule["Conditions"]), forwards(rule["Actions"])) for rule in present]
        if existing == [(values(tests), forwards(actions)) for tests, actions in wanted]:
            return
        # Any difference replaces all rules: priorities must be unique, so moving single rules could collide.
        for rule in present:
            self.elb.delete_rule(RuleArn=rule["RuleArn"])
        for priority, (tests, actions) in enumerate(wanted, start=1):
            tags = self.tags(model["stack"], f"{port}:{priority}", model["tags"])
            self.elb.create_rule(ListenerArn=listener, Priority=priority, Conditions=tests, Actions=actions, Tags=aws_tags(tags))

    def groups(self, tags):
        filters = [{"Name": "vpc-id", "Values": [self.vpc]}, *({"Name": f"tag:{key}", "Values": [value]} for key, value in tags.items())]
        return self.ec2.describe_security_groups(Filters=filters)["SecurityGroups"]

    def create_group(self, name, description, tags):
        return self.ec2.create_security_group(GroupName=name, Description=description, VpcId=self.vpc,
                                              TagSpecifications=[{"ResourceType": "security-group", "Tags": aws_tags(tags)}])["GroupId"]

    def frontend_group(self, model):
        tags = self.tags(model["stack"], "ManagedLBSecurityGroup")
        present = self.present_group({key: tags[key] for key in (CLUSTER_TAG, STACK_TAG, RESOURCE_TAG)})
        description = "[k8s] Managed SecurityGroup for LoadBalancer"
        group = present["GroupId"] if present else self.create_group(model["frontend"], description, {**model["tags"], **tags})
        rules = present["IpPermissions"] if present else []
        opened = {(rule.get("FromPort"), span["CidrIp"]) for rule in rules for span in rule["IpRanges"]}
        wanted = {(int(port), cidr) for port in model["listeners"] for cidr in model["cidrs"]}
        if surplus := sorted(opened - wanted):
            self.ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[permission(*rule) for rule in surplus])
        if missing := sorted(wanted - opened):
            self.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission(*rule) for rule in missing])
        return group

    def backend_group(self, create=False):
        tags = {CLUSTER_TAG: self.cluster, SHARED_TAG: "backend-sg"}
        present = self.present_group(tags)
        if present or not create:
            return present and present["GroupId"]
        description = "[k8s] Shared Backend SecurityGroup for LoadBalancer"
        return self.create_group(backend_group_name(self.cluster), description, {**self.default_tags, **tags})

    def present_group(self, tags):
        """The security group with these tags, with the default tags added if it lacks them; None if there is none."""
        found = next(iter(self.groups(tags)), None)
        known = {tag["Key"]: tag["Value"] for tag in found.get("Tags", [])} if found else {}
        if found and (missing := self.default_tags.items() - known.items()):
            self.ec2.create_tags(Resources=[found["GroupId"]], Tags=aws_tags(dict(missing)))
        return found

    def sync_endpoint_rules(self, endpoints):
        """Lets the load balancers reach the pods: rules on the security groups of the pods' network interfaces.

        `endpoints` is a set of (instance, pod's address, port). Groups of the cluster that no pod needs are closed.
        """
        backend, tag = self.backend_group(), f"kubernetes.io/cluster/{self.cluster}"
        if backend is None:
            return
        tagged = self.described_groups([{"Name": "vpc-id", "Values": [self.vpc]}, {"Name": "tag-key", "Values": [tag]}])
        interfaces = self.interfaces({instance for instance, _, _ in endpoints})
        wanted = {}
        for _, address, port in endpoints:
            wanted.setdefault(endpoint_group(interfaces, address, tag, set(tagged)), set()).add(port)
        if missing := sorted(set(wanted) - set(tagged)):
            tagged |= self.described_groups([{"Name": "group-id", "Values": missing}])
        pairs = [{"GroupId": backend, "Description": NODE_RULE}]
        for group, described in sorted(tagged.items()):
            opened = {rule["FromPort"] for rule in described["IpPermissions"] for pair in rule["UserIdGroupPairs"]
                      if (pair.get("GroupId"), pair.get("Description")) == (backend, NODE_RULE)}
            ports = wanted.get(group, set())
            for change, numbers in ((self.ec2.revoke_security_group_ingress, opened - ports),
                                    (self.ec2.authorize_security_group_ingress, ports - opened)):
                if numbers:
                    change(GroupId=group, IpPermissions=[
                        {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "UserIdGroupPairs": pairs} for port in sorted(numbers)])

    def described_groups(self, filters):
        return {group["GroupId"]: group for group in self.ec2.describe_security_groups(Filters=filters)["SecurityGroups"]}

    def interfaces(self, instances):
        """The network interfaces of instances. A node that EC2 does not know is an error, as for the real controller."""
        if not instances:
            return []
        reservations = self.ec2.describe_instances(InstanceIds=sorted(instances))["Reservations"]
        return [interface for reservation in reservations for instance in reservation["Instances"] for interface in instance["NetworkInterfaces"]]

    def remove(self, stack):
        balancers, groups = self.owned(stack)
        for balancer in balancers.values():
            self.elb.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
        for group in groups.values():
            self.elb.delete_target_group(TargetGroupArn=group["TargetGroupArn"])
        for group in self.groups({CLUSTER_TAG: self.cluster, STACK_TAG: stack}):
            self.ec2.delete_security_group(GroupId=group["GroupId"])

    def remove_backend_group(self):
        if group := self.backend_group():
            self.ec2.delete_security_group(GroupId=group)


def endpoint_group(interfaces, address, tag, tagged):
    """The security group of the interface that has a pod's address: its only one, or the one with the cluster's tag."""
    for interface in interfaces:
        addresses = {one["PrivateIpAddress"] for one in interface["PrivateIpAddresses"]}
        prefixes = [ipaddress.ip_network(one["Ipv4Prefix"]) for one in interface.get("Ipv4Prefixes", [])]
        if address not in addresses and not any(ipaddress.ip_address(address) in prefix for prefix in prefixes):
            continue
        groups = [group["GroupId"] for group in interface["Groups"]]
        chosen = groups if len(groups) == 1 else [group for group in groups if group in tagged]
        if len(chosen) != 1:
            raise ModelError(f"expected exactly one securityGroup tagged with {tag} for eni {interface['NetworkInterfaceId']}, got: {groups}")
        return chosen[0]
    raise ModelError(f"cannot resolve pod ENI for pods: {address}")


def attributes(wanted):
    return [{"Key": key, "Value": value} for key, value in sorted(wanted.items())]


def aws_tags(tags):
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def permission(port, cidr):
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": cidr}]}


def action(wanted, arns):
    if "forward" in wanted:
        return {"Type": "forward", "TargetGroupArn": arns[wanted["forward"]]}
    if "redirect" in wanted:
        return {"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "Port": wanted["redirect"], "StatusCode": "HTTP_301"}}
    return {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": wanted["status"], "ContentType": "text/plain"}}


def conditions(rule):
    host = [{"Field": "host-header", "HostHeaderConfig": {"Values": [rule["host"]]}}] if rule["host"] else []
    return [*host, {"Field": "path-pattern", "PathPatternConfig": {"Values": rule["paths"]}}]


def values(tests):
    """Conditions in a form in which requested and described ones can be compared."""
    found = []
    for test in tests:
        configured = [config["Values"] for name, config in test.items() if name.endswith("Config") and config.get("Values")]
        found.append((test["Field"], tuple(configured[0] if configured else test.get("Values", ()))))
    return sorted(found)


def forwards(actions):
    return [(item["Type"], item.get("TargetGroupArn")) for item in actions]


def listener_differs(listener, settings):
    default, wanted = listener["DefaultActions"][0], settings["DefaultActions"][0]
    certificates = [item["CertificateArn"] for item in listener.get("Certificates") or []]
    return (
        listener["Protocol"] != settings["Protocol"]
        or (default["Type"], default.get("TargetGroupArn")) != (wanted["Type"], wanted.get("TargetGroupArn"))
        or listener.get("SslPolicy") != settings.get("SslPolicy", listener.get("SslPolicy"))
        or any(item["CertificateArn"] not in certificates for item in settings.get("Certificates", []))
    )
