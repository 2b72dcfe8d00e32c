{{/* The key in values.yaml of the component that an object belongs to, or an empty string. */}}
{{- define "argo-cd.component" -}}
{{- $keys := dict
  "application-controller" "controller"
  "applicationset-controller" "applicationSet"
  "dex-server" "dex"
  "notifications-controller" "notifications"
  "redis" "redis"
  "repo-server" "repoServer"
  "server" "server"
-}}
{{- $labels := .object.metadata.labels | default dict -}}
{{- get $keys (get $labels "app.kubernetes.io/component") -}}
{{- end -}}

{{/* Whether the values enable an object. */}}
{{- define "argo-cd.wanted" -}}
{{- $component := include "argo-cd.component" . -}}
{{- $values := .root.Values -}}
{{- if and (has $component (list "dex" "notifications")) (not (get $values $component).enabled) -}}
false
{{- else if and (hasPrefix "ClusterRole" .object.kind) (not (and $values.createClusterRoles (has $component (list "controller" "server")))) -}}
{{- /* argo-helm's chart renders no other cluster role unless ApplicationSets are allowed in any namespace. */ -}}
false
{{- else if and (eq .object.kind "NetworkPolicy") (not $values.global.networkPolicy.create) -}}
false
{{- else -}}
true
{{- end -}}
{{- end -}}

{{/* Applies the values to an object, in place. Prints nothing. */}}
{{- define "argo-cd.adapt" -}}
{{- $root := .root -}}
{{- $object := .object -}}
{{- $values := $root.Values -}}
{{- $component := get $values (include "argo-cd.component" .) | default dict -}}
{{- $labels := $object.metadata.labels | default dict -}}
{{- $_ := set $object.metadata "labels" (merge $labels (dict
  "app.kubernetes.io/instance" $root.Release.Name
  "app.kubernetes.io/managed-by" $root.Release.Service
  "app.kubernetes.io/version" $root.Chart.AppVersion
  "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version))) -}}
{{- range $object.subjects -}}
  {{- if .namespace -}}{{- $_ := set . "namespace" $root.Release.Namespace -}}{{- end -}}
{{- end -}}
{{- if eq $object.kind "ServiceAccount" -}}
  {{- with ($component.serviceAccount | default dict).annotations -}}
    {{- $_ := set $object.metadata "annotations" . -}}
  {{- end -}}
{{- else if eq $object.kind "ConfigMap" -}}
  {{- $configs := dict "argocd-cm" $values.configs.cm "argocd-cmd-params-cm" $values.configs.params "argocd-rbac-cm" $values.configs.rbac -}}
  {{- $data := $object.data | default dict -}}
  {{- range $key, $value := get $configs $object.metadata.name | default dict -}}
    {{- if not (has $key (list "create" "annotations")) -}}
      {{- $_ := set $data $key (toString $value) -}}
    {{- end -}}
  {{- end -}}
  {{- $_ := set $object "data" $data -}}
{{- else if has $object.kind (list "Deployment" "StatefulSet") -}}
  {{- if hasKey $component "replicas" -}}{{- $_ := set $object.spec "replicas" $component.replicas -}}{{- end -}}
  {{- include "argo-cd.pod" (dict "root" $root "template" $object.spec.template "component" $component) -}}
{{- end -}}
{{- end -}}

{{/* Applies the values to a pod template, in place. Prints nothing. */}}
{{- define "argo-cd.pod" -}}
{{- $root := .root -}}
{{- $global := $root.Values.global -}}
{{- $component := .component -}}
{{- $metadata := .template.metadata -}}
{{- $pod := .template.spec -}}
{{- $_ := set $metadata "annotations" (merge (dict
    "checksum/cm" (toYaml $root.Values.configs.cm | sha256sum)
    "checksum/cmd-params" (toYaml $root.Values.configs.params | sha256sum))
  ($metadata.annotations | default dict) $global.podAnnotations) -}}
{{- $_ := set $metadata "labels" (merge $metadata.labels $global.podLabels) -}}
{{- $_ := set $pod "nodeSelector" ($component.nodeSelector | default $global.nodeSelector) -}}
{{- with $component.tolerations | default $global.tolerations -}}
  {{- $_ := set $pod "tolerations" . -}}
{{- end -}}
{{- range concat ($pod.initContainers | default list) $pod.containers -}}
  {{- $image := $global.image -}}
  {{- if contains "/redis:" .image -}}{{- $image = $root.Values.redis.image -}}{{- end -}}
  {{- if or (contains "/redis:" .image) (contains "/argocd:" .image) -}}
    {{- $_ := set . "image" (printf "%s:%s" $image.repository ($image.tag | default $root.Chart.AppVersion)) -}}
  {{- end -}}
  {{- $_ := set . "imagePullPolicy" ($image.imagePullPolicy | default $global.image.imagePullPolicy) -}}
{{- end -}}
{{- range $container := $pod.containers -}}
  {{- with $component.resources -}}{{- $_ := set $container "resources" . -}}{{- end -}}
  {{- with $component.readinessProbe -}}
    {{- if $container.readinessProbe -}}{{- $_ := set $container "readinessProbe" (merge (deepCopy .) $container.readinessProbe) -}}{{- end -}}
  {{- end -}}
  {{- with concat ($component.env | default list) $global.env -}}
    {{- $names := list -}}
    {{- range . -}}{{- $names = append $names .name -}}{{- end -}}
    {{- $kept := . -}}
    {{- range $container.env -}}
      {{- if not (has .name $names) -}}{{- $kept = append $kept . -}}{{- end -}}
    {{- end -}}
    {{- $_ := set $container "env" $kept -}}
  {{- end -}}
{{- end -}}
{{- end -}}
