# shellcheck shell=bash
# The programs that are built from Go modules, and the one that is not.

k8s=k8s.io/kubernetes
k8s_version=k8s.io/component-base/version
helm=helm.sh/helm/v4
argo=github.com/argoproj/argo-cd/v3
eso=github.com/external-secrets/external-secrets
edns=sigs.k8s.io/external-dns

# program NAME: sets module, ldflags and packages (PACKAGE or PACKAGE=BINARY).
program() {
  ldflags=
  case $1 in
    kubernetes)
      module=$k8s@v$KUBERNETES
      ldflags="-X $k8s_version.gitVersion=v$KUBERNETES -X $k8s_version.gitMajor=${KUBERNETES%%.*} -X $k8s_version.gitMinor=$(cut -d. -f2 <<<"$KUBERNETES")"
      packages=()
      local command
      for command in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
        packages+=("$k8s/cmd/$command")
      done ;;
    helm) module=$helm@v$HELM ldflags="-X $helm/internal/version.version=v$HELM" packages=("$helm/cmd/helm") ;;
    argocd) module=$argo@v$ARGOCD ldflags="-X $argo/common.version=$ARGOCD" packages=("$argo/cmd=argocd") ;;
    external-secrets) module=$eso@v$EXTERNAL_SECRETS packages=("$eso") ;;
    external-dns) module=$edns@v$EXTERNAL_DNS ldflags="-X $edns/pkg/apis/externaldns.Version=v$EXTERNAL_DNS" packages=("$edns") ;;
    coredns) module=github.com/coredns/coredns@v$COREDNS packages=(github.com/coredns/coredns) ;;
    metrics-server)
      module=sigs.k8s.io/metrics-server@v$METRICS_SERVER ldflags="-X k8s.io/client-go/pkg/version.gitVersion=v$METRICS_SERVER"
      packages=(sigs.k8s.io/metrics-server/cmd/metrics-server) ;;
    *) die "no program is called \`$1\`" "see tests/setup.d/programs.sh" ;;
  esac
}

key_program() {
  local module ldflags packages
  program "$1"
  echo "$module $ldflags ${packages[*]}$([ ! -f "$SETUP/$1.patch.sh" ] || digest_of "$SETUP/$1.patch.sh")"
}

outputs_program() {
  local module ldflags packages package
  program "$1"
  for package in "${packages[@]}"; do echo "$TOOLS/bin/$(basename "${package#*=}")"; done
}

install_program() {
  local module ldflags packages
  program "$1"
  go_env
  go_build "$1" "$module" "$ldflags" "${packages[@]}"
}

# The container that holds a pod's namespaces: it waits and reaps, no more.
key_pause() { digest_of "$SETUP/pause.c"; }
outputs_pause() { echo "$TOOLS/bin/pause"; }
install_pause() {
  mkdir -p "$TOOLS/work"
  gcc -static -Os -Wall -Werror -s -o "$TOOLS/work/pause" "$SETUP/pause.c"
  mv "$TOOLS/work/pause" "$TOOLS/bin/pause"
}
