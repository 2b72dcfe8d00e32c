# shellcheck shell=bash
# The add-ons: charts and manifests from their Go modules, then images and charts in the registry's storage.

CHARTS=(argo-cd aws-load-balancer-controller external-dns external-secrets metrics-server prometheus-operator-crds)

key_sources() { echo "2 $ARGOCD $EXTERNAL_SECRETS $EXTERNAL_DNS $METRICS_SERVER $PROMETHEUS_OPERATOR"; }
outputs_sources() { printf '%s\n' "$TOOLS"/sources/{argocd,external-secrets,external-dns,metrics-server,prometheus-operator}; }

install_sources() {
  local to=$TOOLS/work/sources from
  go_env
  rm -rf "$to"
  mkdir -p "$to"/{argocd,external-secrets,external-dns,metrics-server,prometheus-operator}
  from=$(go_source "${MODULES[argo-cd]}")
  cp "$from"/manifests/install.yaml "$from"/entrypoint.sh "$from"/hack/{gpg-wrapper,git-verify-wrapper}.sh "$to/argocd"
  from=$(go_source "${MODULES[external-secrets]}")
  cp -r "$from"/deploy/charts/external-secrets/. "$to/external-secrets"
  cp "$from/deploy/crds/bundle.yaml" "$to/external-secrets"
  from=$(go_source "${MODULES[external-dns]}")
  cp -r "$from"/charts/external-dns/. "$to/external-dns"
  from=$(go_source "${MODULES[metrics-server]}")
  cp -r "$from"/charts/metrics-server/. "$to/metrics-server"
  from=$(go_source "${MODULES[prometheus-operator]}")
  cp "$from"/example/prometheus-operator-crd/*.yaml "$to/prometheus-operator"
  chmod -R u+w "$to"
  rm -rf "$TOOLS/sources"; mv "$to" "$TOOLS/sources"
}

# Everything that an image is built from. Versions stand for the bytes of programs and packages.
key_images() {
  echo "$(key_programs) $(digest_of "$SETUP/versions.sh" "$SETUP/pause.c" "$TESTS"/sandbox/images/*.py \
    "$TESTS"/sandbox/lb_*.py "$TESTS/sandbox/requirements.txt" "$TOOLS/ca/ca.crt")"
}
outputs_images() { echo "$TOOLS/registry/docker/registry/v2/repositories"; }

install_images() {
  registry_start
  (
    set -a
    # shellcheck source=/dev/null
    . "$SETUP/versions.sh"
    PYTHONDONTWRITEBYTECODE=1 "$TOOLS/venv/bin/python" "$TESTS/sandbox/images/build.py" "$TOOLS" "$registry"
  ) >"$TOOLS/work/images.txt"
  registry_stop
  registry_sweep
  cat "$TOOLS/work/images.txt"; mv "$TOOLS/work/images.txt" "$TOOLS/images.txt"
}

key_charts() {
  local files
  mapfile -t files < <(find "$TESTS/sandbox/charts" -type f | sort)
  echo "$(key_sources) $(digest_of "$SETUP/versions.sh" "$SETUP/charts.py" "${files[@]}")"
}
outputs_charts() { printf '%s\n' "$TOOLS/charts.json" "${CHARTS[@]/#/$TOOLS/registry/docker/registry/v2/repositories/charts/}"; }

install_charts() {
  local work=$TOOLS/work/charts package
  rm -rf "$work"; mkdir -p "$work/packages"
  (
    set -a
    # shellcheck source=/dev/null
    . "$SETUP/versions.sh"
    "$TOOLS/venv/bin/python" "$SETUP/charts.py" "$TOOLS/sources" "$TESTS/sandbox/charts" "$work/staged"
  )
  export HELM_CACHE_HOME=$work/helm HELM_CONFIG_HOME=$work/helm HELM_DATA_HOME=$work/helm
  registry_start
  for package in "$work"/staged/*/; do "$TOOLS/bin/helm" package --destination "$work/packages" "$package"; done
  for package in "$work"/packages/*.tgz; do "$TOOLS/bin/helm" push --plain-http "$package" "oci://$registry/charts"; done
  registry_stop
  registry_sweep
  mv "$work/staged/charts.json" "$TOOLS/charts.json"
}
