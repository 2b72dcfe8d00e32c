"""The simulated AWS refuses what a region does not offer, with AWS's errors, and answers what it offers."""

from __future__ import annotations

import threading
import unittest

from aws import server  # before boto3: it sets the environment that moto reads

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from aws import identity, offers, offers_data, quotas


class Offers(unittest.TestCase):
    """Each test uses a region of its own."""

    @classmethod
    def setUpClass(cls):
        cls.server = server.listen(server.application(), "127.0.0.1", 0)
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        keys = identity.create_user("operator")
        cls.session = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"])

    @classmethod
    def tearDownClass(cls):
        cls.server.shutdown()
        cls.server.server_close()

    def client(self, service, region):
        return self.session.client(
            service,
            region_name=region,
            endpoint_url=f"http://127.0.0.1:{self.server.port}",
            config=Config(retries={"max_attempts": 0}),
        )

    def refused(self, code, call, **arguments):
        with self.assertRaises(ClientError) as caught:
            call(**arguments)
        self.assertEqual(caught.exception.response["Error"]["Code"], code)
        return str(caught.exception)

    def test_endpoint_services_are_refused_where_they_are_not_offered(self):
        region = "eu-north-1"
        ec2 = self.client("ec2", region)
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        zones = offers.zones(region)
        subnets = [
            ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
            for number, zone in enumerate(sorted(zones))
        ]
        sts, ecr = f"com.amazonaws.{region}.sts", f"com.amazonaws.{region}.ecr.api"
        offers.change(region, {"endpoint_services": {sts: [], ecr: [zones[sorted(zones)[0]]]}})
        described = ec2.describe_vpc_endpoint_services(Filters=[{"Name": "service-name", "Values": [sts, ecr]}])
        self.assertEqual([one["ServiceName"] for one in described["ServiceDetails"]], [ecr])
        self.assertEqual(described["ServiceDetails"][0]["AvailabilityZones"], [sorted(zones)[0]])
        common = {"VpcId": vpc, "VpcEndpointType": "Interface"}
        self.refused("InvalidServiceName", ec2.create_vpc_endpoint, ServiceName=sts, **common)
        self.refused("InvalidParameter", ec2.create_vpc_endpoint, ServiceName=ecr, SubnetIds=subnets, **common)
        ec2.create_vpc_endpoint(ServiceName=ecr, SubnetIds=subnets[:1], **common)

    def test_quotas_are_those_of_the_account_and_enforced(self):
        region = "eu-west-1"
        shown = self.client("service-quotas", region)
        value = shown.get_service_quota(ServiceCode="ec2", QuotaCode="L-0263D0A3")["Quota"]["Value"]
        self.assertEqual(value, 5)
        default = shown.get_aws_default_service_quota(ServiceCode="ec2", QuotaCode="L-1216C47A")["Quota"]["Value"]
        self.assertEqual(default, 5)
        self.refused("NoSuchResourceException", shown.get_service_quota, ServiceCode="ec2", QuotaCode="L-00000000")

        ec2 = self.client("ec2", region)
        for _ in range(5):
            ec2.allocate_address(Domain="vpc")
        self.refused("AddressLimitExceeded", ec2.allocate_address, Domain="vpc")
        for _ in range(5 - len(ec2.describe_vpcs()["Vpcs"])):
            ec2.create_vpc(CidrBlock="10.0.0.0/16")
        self.refused("VpcLimitExceeded", ec2.create_vpc, CidrBlock="10.0.0.0/16")
        offers.change(region, {"quotas": {quotas.VCPUS: 3}})
        image = ec2.describe_images()["Images"][0]["ImageId"]
        run = {"ImageId": image, "InstanceType": "t3.medium", "MinCount": 1, "MaxCount": 1}
        ec2.run_instances(**run)
        self.refused("VcpuLimitExceeded", ec2.run_instances, **run)
        # The family of g5 has a quota of its own.
        ec2.run_instances(**{**run, "InstanceType": "g5.xlarge"})

    def test_instance_types_are_offered_per_zone(self):
        ec2 = self.client("ec2", "us-east-1")
        named = [{"Name": "instance-type", "Values": ["t3.medium"]}]
        found = ec2.describe_instance_type_offerings(LocationType="availability-zone-id", Filters=named)
        ids = {offering["Location"] for offering in found["InstanceTypeOfferings"]}
        self.assertEqual(ids, {f"use1-az{number}" for number in (1, 2, 4, 5, 6)})
        image = ec2.describe_images()["Images"][0]["ImageId"]
        run = {"ImageId": image, "InstanceType": "t3.medium", "MinCount": 1, "MaxCount": 1}
        placed = {**run, "Placement": {"AvailabilityZone": "us-east-1e"}}
        self.assertIn("not supported in your requested Availability Zone", self.refused("Unsupported", ec2.run_instances, **placed))
        # eu-south-2 has neither t3a nor t2.
        spain = self.client("ec2", "eu-south-2")
        image = spain.describe_images()["Images"][0]["ImageId"]
        missing = {**run, "ImageId": image, "InstanceType": "t3a.medium"}
        self.refused("InvalidInstanceType.NotFound", spain.run_instances, **missing)

    def test_a_cluster_needs_an_offered_version_and_zones_with_eks(self):
        region = "us-east-1"
        eks, ec2 = self.client("eks", region), self.client("ec2", region)
        statuses = {one["clusterVersion"]: one["versionStatus"] for one in eks.describe_cluster_versions()["clusterVersions"]}
        self.assertEqual(set(statuses), set(offers_data.KUBERNETES))
        self.assertEqual(statuses["1.32"], "EXTENDED_SUPPORT")
        subnets = {one["AvailabilityZoneId"]: one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]}
        iam = self.client("iam", region)
        role = iam.create_role(
            RoleName="cluster",
            AssumeRolePolicyDocument='{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", '
            '"Principal": {"Service": "eks.amazonaws.com"}, "Action": "sts:AssumeRole"}]}',
        )["Role"]["Arn"]
        iam.attach_role_policy(RoleName="cluster", PolicyArn="arn:aws:iam::aws:policy/AmazonEKSClusterPolicy")

        def wanted(*zones, version="1.35"):
            network = {"subnetIds": [subnets[zone] for zone in zones]}
            return {"name": "one", "version": version, "roleArn": role, "resourcesVpcConfig": network}

        unknown = wanted("use1-az1", "use1-az2", version="1.19")
        self.assertIn("unsupported", self.refused("InvalidParameterException", eks.create_cluster, **unknown))
        why = self.refused("UnsupportedAvailabilityZoneException", eks.create_cluster, **wanted("use1-az1", "use1-az3"))
        self.assertIn("us-east-1e, the targeted availability zone", why)
        eks.create_cluster(**wanted("use1-az1", "use1-az2"))

    def test_add_on_versions_depend_on_the_kubernetes_version(self):
        eks = self.client("eks", "eu-south-2")
        found = eks.describe_addon_versions(kubernetesVersion="1.35", addonName="kube-proxy")["addons"][0]["addonVersions"]
        self.assertEqual([one["addonVersion"] for one in found], offers_data.KUBE_PROXY["1.35"])
        defaults = [one["addonVersion"] for one in found if one["compatibilities"][0]["defaultVersion"]]
        self.assertEqual(defaults, offers_data.KUBE_PROXY["1.35"][:1])
        offers.change("eu-west-2", {"addons": {"coredns": ["v9.9.9-eksbuild.1"]}})
        changed = self.client("eks", "eu-west-2").describe_addon_versions(kubernetesVersion="1.35", addonName="coredns")
        self.assertEqual([one["addonVersion"] for one in changed["addons"][0]["addonVersions"]], ["v9.9.9-eksbuild.1"])

    def test_a_database_needs_an_orderable_class_and_a_known_version(self):
        rds = self.client("rds", "eu-south-2")
        options = rds.describe_orderable_db_instance_options(Engine="postgres", DBInstanceClass="db.t4g.micro")
        option = next(one for one in options["OrderableDBInstanceOptions"] if one["EngineVersion"].startswith("17."))
        self.assertEqual(len(option["AvailabilityZones"]), 3)
        self.assertTrue(option["SupportsPerformanceInsights"] and option["SupportsEnhancedMonitoring"])
        versions = rds.describe_db_engine_versions(Engine="postgres", EngineVersion="17")["DBEngineVersions"]
        self.assertEqual({one["MajorEngineVersion"] for one in versions}, {"17"})
        major = rds.describe_db_major_engine_versions(Engine="postgres", MajorEngineVersion="17")["DBMajorEngineVersions"]
        ends = {one["LifecycleSupportName"]: one["LifecycleSupportEndDate"] for one in major[0]["SupportedEngineLifecycles"]}
        self.assertEqual(ends["open-source-rds-standard-support"].strftime("%Y-%m-%d"), "2030-02-28")

        def wanted(instance_class, version):
            return {
                "DBInstanceIdentifier": "one",
                "DBInstanceClass": instance_class,
                "Engine": "postgres",
                "EngineVersion": version,
                "AllocatedStorage": 20,
                "MasterUsername": "operator",
                "ManageMasterUserPassword": True,
            }

        why = self.refused("InvalidParameterCombination", rds.create_db_instance, **wanted("db.t4g.micro", "99"))
        self.assertIn("Cannot find version 99 for postgres", why)
        why = self.refused("InvalidParameterCombination", rds.create_db_instance, **wanted("db.m6i.large", "17"))
        self.assertIn("RDS does not support creating a DB instance with the following combination", why)
        rds.create_db_instance(**wanted("db.t4g.micro", "17"))


if __name__ == "__main__":
    unittest.main()
