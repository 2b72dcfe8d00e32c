# shellcheck shell=bash disable=SC2034
# The versions of everything that tests/setup installs (Python packages: tests/sandbox/requirements.txt).
# After changing the version of a Go module, run tests/setup.d/record-sums.

# Programs, and modules that only provide manifests. All Kubernetes libraries have the version of Kubernetes.
KUBERNETES=1.35.4
HELM=4.3.1
COREDNS=1.12.4
ARGOCD=3.2.0              # 3.3 and later replace modules by folders that the module proxy does not have
EXTERNAL_SECRETS=0.20.4   # the same holds for 1.x
EXTERNAL_DNS=0.21.0
METRICS_SERVER=0.8.0
PROMETHEUS_OPERATOR=0.86.1
PAUSE=3.10
REDIS_TAG=8.2.2-alpine    # the tag in Argo CD's manifests; the program is Debian's

# Charts: the releases that contain the versions above. Projects tag the program first and raise the chart's version
# afterwards, so the chart in the module still has the previous version.
CHART_ARGO_CD=9.1.0
CHART_EXTERNAL_SECRETS=0.20.4
CHART_EXTERNAL_DNS=1.21.0
CHART_METRICS_SERVER=3.13.0
CHART_PROMETHEUS_OPERATOR_CRDS=24.0.1
CHART_LOAD_BALANCER_CONTROLLER=1.14.0
LOAD_BALANCER_CONTROLLER=2.14.0

CARGO_DENY=0.20.2

MINIMUM_GO=1.26.1
MINIMUM_PYTHON=3.11
MINIMUM_TERRAFORM=1.10

DEBIAN_PACKAGES=(
  ca-certificates containerd containernetworking-plugins curl docker.io docker-registry etcd-client etcd-server
  gcc git gpg gpg-agent iproute2 iptables libc6-dev openssh-client openssl pgbouncer postgresql-15 procps
  python3-venv redis-server runc tini util-linux wrk
)
