"""A region's control plane: etcd, API server, controller manager, scheduler, and what EKS installs in a new cluster.

1. Create keys, certificates, static tokens and kubeconfigs.
2. Start etcd and the API server, wait until the API server is ready.
3. Start the controller manager and the scheduler.
4. Apply what a new EKS cluster contains: kube-proxy's role, CoreDNS, the pod identity webhook.

Choices that are not obvious:
- The API server sends every token that it does not know to the simulated AWS, as EKS does with its authenticator. It
  caches the answers for 10 s instead of the default two minutes, so that a new access entry takes effect soon.
- Webhooks and aggregated APIs run in pods. Requests go to their endpoints directly (`enable-aggregator-routing`), because
  no kube-proxy serves the control plane's namespace.
- etcd does not sync to disk: a cluster of the sandbox never outlives the machine's boot.
"""
import base64
import shutil
import string
from pathlib import Path

import kubeapi
import kubeconfig
import pki
import places
from namespace import Namespace, last_lines, run
from region import Region
from waiting import Failure, wait_until

MANIFESTS = Path(__file__).with_name("manifests")
ETCD = "http://127.0.0.1:2379"
FRONT_PROXY = "front-proxy-client"
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


def create(region: Region, inside: Namespace, eks_name: str, issuer: str) -> None:
    """Starts an empty cluster. Returns when its API answers and it contains what a new EKS cluster contains."""
    sandbox_authority = places.state() / "ca" / "ca.crt"
    if not sandbox_authority.exists():
        raise Failure(f"no certificate authority at `{sandbox_authority}`; fix: run `sandbox up`, which creates it")
    _create_identity(region, eks_name)
    for name, argv in _programs(region, issuer).items():
        inside.start(name, argv, region.logs / f"{name}.log")
        if name == "kube-apiserver":
            _wait_ready(region, inside)
    _apply_manifests(region, sandbox_authority)


def stop(inside: Namespace) -> None:
    """Kills the programs. A graceful shutdown would only save data that is about to be deleted."""
    inside.kill_programs(*reversed(PROGRAMS))


def forget(region: Region) -> None:
    """Deletes all files of the cluster except its logs. Its programs must have ended."""
    for directory in (region.directory / "etcd", region.directory / "kubectl", region.directory / "volume-plugins", region.pki):
        shutil.rmtree(directory, ignore_errors=True)
    region.admin_kubeconfig.unlink(missing_ok=True)


def running(inside: Namespace) -> bool:
    programs = inside.programs()
    return all(name in programs and programs[name] is None for name in PROGRAMS)


def answers(region: Region) -> bool:
    """Whether the API server reports itself ready."""
    try:
        return kubeapi.get(region, "/readyz")[0] == 200
    except OSError:
        return False


def kubectl(region: Region, *arguments: str, given: str | None = None, seconds: float = 60) -> str:
    return run("kubectl", "--kubeconfig", str(region.admin_kubeconfig), "--cache-dir", str(region.directory / "kubectl"),
               *arguments, given=given, seconds=seconds)


def _create_identity(region: Region, eks_name: str) -> None:
    region.pki.mkdir(mode=0o700, parents=True)
    pki.create_authority(region.pki, f"{eks_name}-ca")
    # A separate authority, because a client with one of its certificates may claim to be any user to an aggregated API.
    (region.pki / "front-proxy").mkdir()
    pki.create_authority(region.pki / "front-proxy", f"{eks_name}-front-proxy-ca")
    pki.issue(region.pki / "front-proxy", region.pki / "front-proxy" / "client", FRONT_PROXY)
    pki.create_token_key(region.pki / "sa.key")
    pki.issue(region.pki, region.pki / "server", "kube-apiserver", hosts=(
        region.address, region.kubernetes_service, "127.0.0.1",
        "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"))
    pki.issue(region.pki, region.pki / "kubelet-client", "kube-apiserver-kubelet-client", organization="system:masters")
    kubeconfig.create_users(region)
    kubeconfig.write_token_webhook(
        region.pki / "token-webhook.kubeconfig",
        f"http://{places.HOST}:{places.AWS_HTTP_PORT}/sandbox/token-review/{region.aws}/{eks_name}")


def _programs(region: Region, issuer: str) -> dict[str, list]:
    own = region.pki
    return {
        "etcd": [
            "etcd", "--data-dir", region.directory / "etcd", "--unsafe-no-fsync", "--logger=zap", "--log-level=warn",
            f"--listen-client-urls={ETCD}", f"--advertise-client-urls={ETCD}", "--listen-peer-urls=http://127.0.0.1:2380",
        ],
        "kube-apiserver": [
            "kube-apiserver", f"--etcd-servers={ETCD}", f"--bind-address={region.address}",
            f"--advertise-address={region.address}", "--secure-port=6443",
            f"--tls-cert-file={own}/server.crt", f"--tls-private-key-file={own}/server.key", f"--client-ca-file={own}/ca.crt",
            f"--token-auth-file={own}/tokens.csv",
            f"--authentication-token-webhook-config-file={own}/token-webhook.kubeconfig",
            "--authentication-token-webhook-version=v1", "--authentication-token-webhook-cache-ttl=10s",
            "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
            f"--kubelet-client-certificate={own}/kubelet-client.crt", f"--kubelet-client-key={own}/kubelet-client.key",
            f"--kubelet-certificate-authority={own}/ca.crt", "--kubelet-preferred-address-types=InternalIP",
            f"--requestheader-client-ca-file={own}/front-proxy/ca.crt", f"--requestheader-allowed-names={FRONT_PROXY}",
            "--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={own}/front-proxy/client.crt", f"--proxy-client-key-file={own}/front-proxy/client.key",
            f"--service-account-issuer={issuer}", f"--service-account-jwks-uri={issuer}/keys",
            "--api-audiences=https://kubernetes.default.svc",
            f"--service-account-key-file={own}/sa.pub", f"--service-account-signing-key-file={own}/sa.key",
            f"--service-cluster-ip-range={region.service_range}", "--enable-aggregator-routing=true",
            "--allow-privileged=true", "--profiling=false",
        ],
        "kube-controller-manager": [
            "kube-controller-manager", f"--kubeconfig={own}/controller-manager.kubeconfig", "--leader-elect=false",
            "--use-service-account-credentials=true", f"--service-account-private-key-file={own}/sa.key",
            f"--root-ca-file={own}/ca.crt", f"--cluster-signing-cert-file={own}/ca.crt",
            f"--cluster-signing-key-file={own}/ca.key", "--kube-api-qps=100", "--kube-api-burst=150", "--profiling=false",
            # The default is a directory of the machine, which it would create.
            f"--flex-volume-plugin-dir={region.directory}/volume-plugins",
        ],
        "kube-scheduler": [
            "kube-scheduler", f"--kubeconfig={own}/scheduler.kubeconfig", "--leader-elect=false", "--profiling=false",
        ],
    }


def _wait_ready(region: Region, inside: Namespace) -> None:
    def ready() -> bool:
        for name in ("etcd", "kube-apiserver"):
            if not inside.running(name):
                raise Failure(f"`{name}` of `{region.name}` ended: {last_lines(region.logs / (name + '.log'))}")
        return answers(region)

    wait_until(ready, f"the API server {region.kubernetes} (log: {region.logs / 'kube-apiserver.log'})", 120, interval=0.2)


def _apply_manifests(region: Region, sandbox_authority: Path) -> None:
    """Applies the manifests in the name of EKS's own field manager, so that they look as in a real cluster."""
    values = {
        "region": region.name, "aws_region": region.aws, "host": places.HOST, "database": region.host,
        "database_proxy": region.proxy, "dns": region.dns_service,
        "sandbox_ca": base64.b64encode(sandbox_authority.read_bytes()).decode(),
    }
    documents = [string.Template((MANIFESTS / name).read_text()).substitute(values)
                 for name in ("kube-proxy.yaml", "coredns.yaml", "pod-identity-webhook.yaml")]
    kubectl(region, "apply", "--server-side", "--field-manager=eks", "--filename=-", given="\n---\n".join(documents))
