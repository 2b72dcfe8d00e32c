# shellcheck shell=bash disable=SC2034
# Every version that tests/setup installs, and nowhere else (Python's are in tests/sandbox/requirements.txt).
# After changing one of a Go module run `tests/setup.d/record-sums`.

# Programs, and modules that only give their manifests. Kubernetes' version is also that of its staging modules.
KUBERNETES=1.35.4
HELM=4.3.1
COREDNS=1.12.4
ARGOCD=3.2.0              # 3.3 and later replace modules by local folders and do not build from the module proxy
EXTERNAL_SECRETS=0.20.4   # so do 1.x
EXTERNAL_DNS=0.21.0
METRICS_SERVER=0.8.0
PROMETHEUS_OPERATOR=0.86.1
PAUSE=3.10
REDIS_TAG=8.2.2-alpine    # what Argo CD's manifests name; the program inside is Debian's

# Charts: the releases that carry the versions above. A project tags its program first and bumps its chart's
# version after, so the chart in the module still bears the number before.
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
  python3-venv redis-server runc tini util-linux
)
