"""The add-ons' images: their contents, and the public names under which they are published.

An image contains its program and the libraries that the program loads, nothing else of a distribution. All images trust
the sandbox's certificate authority, because in the sandbox *.amazonaws.com presents a certificate of that authority.
"""

from dataclasses import dataclass, field
from pathlib import Path

import closure
import python
from layer import Layer

ARGOCD_COMMANDS = (
    "application-controller", "applicationset-controller", "cmp-server", "commit-server", "dex", "k8s-auth",
    "notifications", "repo-server", "server",
)
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class Image:
    repository: str
    tags: list
    layers: list
    entrypoint: list
    user: str = "65532"
    environment: list = field(default_factory=list)
    folder: str = "/"


def all_images(places, versions):
    """All images. `places` locates the tool folder's files; `versions` holds the variables of tests/setup.d/versions.sh."""
    common = base(places)
    binary = places.binary

    def single(repository, tag, name, path, user="65532"):
        layer = Layer()
        layer.file(path, binary(name), 0o755)
        return Image(repository, [tag], [common, layer], [path], user)

    pause = Layer()
    pause.file("/pause", binary("pause"), 0o755)
    redis = Layer()
    closure.add_programs(redis, {"/usr/bin/redis-server": "/usr/bin/redis-server"})
    return [
        Image("registry.k8s.io/pause", [versions["PAUSE"]], [pause], ["/pause"], "65535"),
        single("registry.k8s.io/coredns/coredns", f"v{versions['COREDNS']}", "coredns", "/coredns"),
        single("registry.k8s.io/external-dns/external-dns", f"v{versions['EXTERNAL_DNS']}", "external-dns", "/bin/external-dns"),
        single("registry.k8s.io/metrics-server/metrics-server", f"v{versions['METRICS_SERVER']}", "metrics-server", "/metrics-server"),
        single("oci.external-secrets.io/external-secrets/external-secrets", f"v{versions['EXTERNAL_SECRETS']}",
               "external-secrets", "/bin/external-secrets"),
        Image("public.ecr.aws/docker/library/redis", [versions["REDIS_TAG"]], [common, redis],
              ["/usr/bin/redis-server"], "999", folder="/data"),
        argocd(places, versions, common),
        load_balancer_controller(places, versions, common),
    ]


def base(places):
    """Users, certificates and the few folders that programs expect. One layer that all images share."""
    layer = Layer()
    layer.data("/etc/passwd",
               "root:x:0:0:root:/root:/sbin/nologin\nargocd:x:999:999::/home/argocd:/sbin/nologin\n"
               "nonroot:x:65532:65532::/home/nonroot:/sbin/nologin\nnobody:x:65534:65534::/:/sbin/nologin\n")
    layer.data("/etc/group", "root:x:0:\nargocd:x:999:\nnonroot:x:65532:\nnobody:x:65534:\n")
    layer.data("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
    layer.data(BUNDLE, Path(BUNDLE).read_bytes().rstrip() + b"\n" + places.ca.read_bytes())
    layer.directory("/tmp", 0o1777)
    layer.directory("/data", 0o1777)
    layer.directory("/home/nonroot", 0o755, 65532, 65532)
    return layer


def argocd(places, versions, common):
    """Like the upstream image without git-lfs and kustomize: git (own protocol, https, ssh), gpg, helm."""
    tools = Layer()
    git_core = Path("/usr/lib/git-core")
    programs = {f"/usr/bin/{name}": f"/usr/bin/{name}" for name in
                ("git", "gpg", "gpg-agent", "gpgconf", "gpg-connect-agent", "ssh", "tini", "dash", "cat", "cp", "ln",
                 "ls", "mkdir", "rm", "sed", "grep", "tr", "uname", "env", "basename", "dirname")}
    programs[f"{git_core}/git-remote-http"] = git_core / "git-remote-http"
    closure.add_programs(tools, programs)
    tools.link("/usr/bin/sh", "dash")
    for name in ("git-remote-https", "git-remote-ftp", "git-remote-ftps"):
        tools.link(f"{git_core}/{name}", "git-remote-http")
    for name in ("git", "git-upload-pack", "git-receive-pack"):
        tools.link(f"{git_core}/{name}", "../../bin/git")
    for name in ("git-submodule", "git-sh-setup", "git-sh-i18n", "git-sh-i18n--envsubst"):
        tools.file(f"{git_core}/{name}", git_core / name)
    tools.directory("/usr/share/git-core/templates")
    # Repositories are mounted and cloned by other users than the one that reads them, which git refuses by default.
    tools.data("/etc/gitconfig", "[safe]\n\tdirectory = *\n")

    program = Layer()
    program.file("/usr/local/bin/argocd", places.binary("argocd"), 0o755)
    program.file("/usr/local/bin/helm", places.binary("helm"), 0o755)
    for name in ("entrypoint.sh", "gpg-wrapper.sh", "git-verify-wrapper.sh"):
        program.file(f"/usr/local/bin/{name}", places.source("argocd") / name, 0o755)
    for command in ARGOCD_COMMANDS:
        program.link(f"/usr/local/bin/argocd-{command}", "argocd")
    program.data("/app/config/ssh/ssh_known_hosts", "")
    program.link("/etc/ssh/ssh_known_hosts", "/app/config/ssh/ssh_known_hosts")
    program.directory("/app/config/tls")
    program.directory("/app/config/gpg/source")
    program.directory("/app/config/gpg/keys", 0o700, 999, 999)
    program.directory("/home/argocd", 0o775, 999, 0)
    return Image("quay.io/argoproj/argocd", [f"v{versions['ARGOCD']}"], [common, tools, program],
                 ["/usr/bin/tini", "--"], "999", ["USER=argocd", "HOME=/home/argocd"], "/home/argocd")


def load_balancer_controller(places, versions, common):
    """The stand-in for the AWS Load Balancer Controller. Its program is the last layer, so a change rebuilds little."""
    files, distributions = python.imports_of(places.controller)
    runtime = Layer()
    python.add_interpreter(runtime, places.work)
    python.add_packages(runtime, distributions, places.work)
    program = Layer()
    for file in files:
        program.file(f"/{file.name}", file, 0o644)
    trust = [f"{name}={BUNDLE}" for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")]
    return Image("public.ecr.aws/eks/aws-load-balancer-controller", [f"v{versions['LOAD_BALANCER_CONTROLLER']}"],
                 [common, runtime, program], ["/usr/local/bin/python3", "/lb_controller.py"], "65532",
                 [f"PYTHONPATH={python.PACKAGES}", "PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1", *trust])
