# shellcheck shell=bash
# The programs that run in the sandbox's clusters: one part for all that are written in Go, and `pause`.

declare -A MODULES=(
  [argo-cd]=github.com/argoproj/argo-cd/v3@v$ARGOCD
  [coredns]=github.com/coredns/coredns@v$COREDNS
  [external-dns]=sigs.k8s.io/external-dns@v$EXTERNAL_DNS
  [external-secrets]=github.com/external-secrets/external-secrets@v$EXTERNAL_SECRETS
  [helm]=helm.sh/helm/v4@v$HELM
  [kubernetes]=k8s.io/kubernetes@v$KUBERNETES
  [metrics-server]=sigs.k8s.io/metrics-server@v$METRICS_SERVER
  [prometheus-operator]=github.com/prometheus-operator/prometheus-operator@v$PROMETHEUS_OPERATOR
)

# The modules that setup.d/go/NAME.patch.sh changes, each for a reason given there.
PATCHED=(argo-cd coredns external-dns external-secrets helm metrics-server)

# The main packages, by the name that the program gets in $TOOLS/bin.
declare -A PROGRAMS=(
  [argocd]=github.com/argoproj/argo-cd/v3/cmd
  [coredns]=github.com/coredns/coredns
  [external-dns]=sigs.k8s.io/external-dns
  [external-secrets]=github.com/external-secrets/external-secrets
  [helm]=helm.sh/helm/v4/cmd/helm
  [kubernetes]=setup/kubernetes
  [metrics-server]=sigs.k8s.io/metrics-server/cmd/metrics-server
)

# What setup.d/go/kubernetes is, by the name that it is run as.
KUBERNETES_NAMES=(kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl)

# Programs do not know their version unless the link sets it: -ldflags takes a pattern of main packages.
version_flags() {
  local kubernetes=k8s.io/component-base/version
  printf -- '-ldflags=%s\n' \
    "-s -w" \
    "${PROGRAMS[kubernetes]}=-s -w -X $kubernetes.gitVersion=v$KUBERNETES -X $kubernetes.gitMajor=${KUBERNETES%%.*} -X $kubernetes.gitMinor=$(cut -d. -f2 <<<"$KUBERNETES")" \
    "${PROGRAMS[helm]}=-s -w -X helm.sh/helm/v4/internal/version.version=v$HELM" \
    "${PROGRAMS[argocd]}=-s -w -X github.com/argoproj/argo-cd/v3/common.version=$ARGOCD" \
    "${PROGRAMS[external-dns]}=-s -w -X sigs.k8s.io/external-dns/pkg/apis/externaldns.Version=v$EXTERNAL_DNS" \
    "${PROGRAMS[metrics-server]}=-s -w -X k8s.io/client-go/pkg/version.gitVersion=v$METRICS_SERVER"
}

key_programs() {
  local files
  mapfile -t files < <(find "$SETUP/go" -type f | sort)
  echo "$(printf '%s\n' "${PROGRAMS[@]}" "${MODULES[@]}" "$(version_flags)" | sort | sha256sum | cut -c1-16) $(digest_of "${files[@]}")"
}
outputs_programs() {
  local name
  for name in "${!PROGRAMS[@]}" "${KUBERNETES_NAMES[@]}"; do echo "$TOOLS/bin/$name"; done
}

install_programs() {
  local work=$go_cache/programs name flags
  go_env
  go_versions_agree
  go_workspace "$work/source"
  rm -rf "$work/out"; mkdir -p "$work/out"
  mapfile -t flags < <(version_flags)
  cd "$work/source"
  # Without debugging information: a tenth of the compile time, a third of the object cache. The tag keeps methods of
  # Kubernetes' types that Argo CD's API serializes with. Fewer garbage collections save a tenth of the compiler's time
  # for half as much memory again; the limit is for the links, which need gigabytes anyway.
  GOGC=400 GOMEMLIMIT=2GiB nice go build -v -trimpath -tags=kubernetes_protomessage_one_more_release -gcflags=all=-dwarf=false "${flags[@]}" \
    -o "$work/out/" "${PROGRAMS[@]}"
  cd /
  # Go names a program by the last element of its package.
  for name in "${!PROGRAMS[@]}"; do mv -f "$work/out/$(basename "${PROGRAMS[$name]}")" "$TOOLS/bin/$name"; done
  # Links to the file itself: the program reads its name from its path, which survives the resolution of symlinks.
  for name in "${KUBERNETES_NAMES[@]}"; do ln -f "$TOOLS/bin/kubernetes" "$TOOLS/bin/$name"; done
  rm -rf "$work"
}

# The versions are in versions.sh for the images' tags and in go.mod for Go: record-sums writes the latter.
go_versions_agree() {
  local module
  for module in "${MODULES[@]}"; do
    [ "$module" != "${MODULES[prometheus-operator]}" ] || continue   # only its manifests are used
    grep -qF "${module/@/ }" "$SETUP/go/go.mod" ||
      die "setup.d/versions.sh wants $module, setup.d/go/go.mod does not" "run tests/setup.d/record-sums"
  done
}

# The container that holds a pod's namespaces: it waits and reaps, no more.
key_pause() { digest_of "$SETUP/pause.c"; }
outputs_pause() { echo "$TOOLS/bin/pause"; }
install_pause() {
  local work=$TOOLS/work/pause
  mkdir -p "$work"
  gcc -static -Os -Wall -Werror -s -o "$work/pause" "$SETUP/pause.c"
  mv "$work/pause" "$TOOLS/bin/pause"
}
