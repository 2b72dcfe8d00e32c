"""What AWS offers, as tables: the stand-in for answers of the EKS and RDS APIs. EC2's instance types are moto's own records.

Quotas are in `quotas.py`. `offers.py` answers from these tables, with the changes that tests make per region.
"""

from __future__ import annotations

import datetime

# The version that the sandbox runs is in standard support, whenever that is: the tests may not fail on a date.
_IN_A_YEAR = (datetime.date.today() + datetime.timedelta(days=365)).isoformat()
_IN_TWO_YEARS = (datetime.date.today() + datetime.timedelta(days=730)).isoformat()

# Control planes cannot be created in this zone of us-east-1. Zone names are shuffled per account, zone ids are not.
# https://docs.aws.amazon.com/eks/latest/userguide/network-reqs.html (subnet requirements)
ZONES_WITHOUT_EKS = frozenset({"use1-az3", "usw1-az2", "cac1-az3"})

# Ends of standard and extended support of the Kubernetes versions that EKS offers.
# https://docs.aws.amazon.com/eks/latest/userguide/kubernetes-versions.html, https://endoflife.date/amazon-eks
KUBERNETES = {
    "1.32": {"standard": "2026-03-23", "extended": "2027-03-23"},
    "1.33": {"standard": "2026-07-29", "extended": "2027-07-29"},
    "1.34": {"standard": "2026-12-02", "extended": "2027-12-02"},
    "1.35": {"standard": max("2027-03-27", _IN_A_YEAR), "extended": max("2028-03-27", _IN_TWO_YEARS)},
}
KUBERNETES_DEFAULT = "1.35"

# Add-on versions, newest first; the first is the default. kube-proxy follows the cluster's version, the others serve all.
# https://docs.aws.amazon.com/eks/latest/userguide/managing-coredns.html, managing-kube-proxy.html, managing-vpc-cni.html
ADDONS = {
    "vpc-cni": ["v1.21.1-eksbuild.3", "v1.21.1-eksbuild.1", "v1.20.4-eksbuild.1"],
    "coredns": ["v1.13.2-eksbuild.1", "v1.13.1-eksbuild.1", "v1.12.4-eksbuild.1"],
    "aws-ebs-csi-driver": ["v1.57.1-eksbuild.1", "v1.54.0-eksbuild.1", "v1.53.0-eksbuild.1"],
    "eks-pod-identity-agent": ["v1.3.10-eksbuild.1"],
    "metrics-server": ["v0.8.0-eksbuild.5"],
}
KUBE_PROXY = {
    "1.32": ["v1.32.9-eksbuild.2"],
    "1.33": ["v1.33.5-eksbuild.2"],
    "1.34": ["v1.34.1-eksbuild.2"],
    "1.35": ["v1.35.0-eksbuild.2", "v1.35.0-eksbuild.1"],
}

# Ends of standard and extended support of the major versions of PostgreSQL that RDS offers, with the minor versions.
# https://docs.aws.amazon.com/AmazonRDS/latest/PostgreSQLReleaseNotes/postgresql-release-calendar.html
POSTGRES = {
    "13": {"minors": ["13.22", "13.23"], "standard": "2026-02-28", "extended": "2029-02-28"},
    "14": {"minors": ["14.19", "14.20"], "standard": "2027-02-28", "extended": "2030-02-28"},
    "15": {"minors": ["15.14", "15.15"], "standard": "2028-02-29", "extended": "2031-02-28"},
    "16": {"minors": ["16.10", "16.11"], "standard": "2029-02-28", "extended": "2032-02-29"},
    "17": {"minors": ["17.6", "17.7"], "standard": "2030-02-28", "extended": "2033-02-28"},
    "18": {"minors": ["18.1"], "standard": "2031-02-28", "extended": "2034-02-28"},
}

# Instance classes for PostgreSQL in every region, and those that single regions lack. RDS's documentation refers to
# describe-orderable-db-instance-options for regions; a class is taken to exist where EC2 offers its instance type.
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Concepts.DBInstanceClass.RegionSupport.html
#
# All of them support Performance Insights with PostgreSQL (with MySQL and MariaDB, micro and small classes do not) and
# Enhanced Monitoring (only db.m1.small does not):
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_DatabaseInsights.Engines.html
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Monitoring.OS.overview.html
DATABASE_CLASSES = (
    *(f"db.t3.{size}" for size in ("micro", "small", "medium", "large")),
    *(f"db.t4g.{size}" for size in ("micro", "small", "medium", "large")),
    *(f"db.{family}.{size}" for family in ("m5", "m6g", "m6i", "m7g", "r6g", "r7g") for size in ("large", "xlarge")),
)
