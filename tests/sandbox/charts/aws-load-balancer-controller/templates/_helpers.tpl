{{- define "controller.name" -}}aws-load-balancer-controller{{- end -}}

{{- define "controller.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "controller.name" .) }}
{{- end -}}

{{- define "controller.selector" -}}
app.kubernetes.io/name: {{ include "controller.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "controller.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{ include "controller.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "controller.webhook.service" -}}aws-load-balancer-webhook-service{{- end -}}
{{- define "controller.webhook.secret" -}}aws-load-balancer-tls{{- end -}}

{{/* The webhook's CA, certificate and key in base64: those in the cluster if keepTLSSecret is set, otherwise new ones. */}}
{{- define "controller.webhook.certificate" -}}
{{- $secret := lookup "v1" "Secret" .Release.Namespace (include "controller.webhook.secret" .) -}}
{{- if and .Values.keepTLSSecret $secret -}}
ca: {{ index $secret.data "ca.crt" }}
certificate: {{ index $secret.data "tls.crt" }}
key: {{ index $secret.data "tls.key" }}
{{- else -}}
{{- $service := printf "%s.%s" (include "controller.webhook.service" .) .Release.Namespace -}}
{{- $ca := genCA "aws-load-balancer-controller-ca" 3650 -}}
{{- $served := genSignedCert (include "controller.name" .) nil (list $service (printf "%s.svc" $service)) 3650 $ca -}}
ca: {{ b64enc $ca.Cert }}
certificate: {{ b64enc $served.Cert }}
key: {{ b64enc $served.Key }}
{{- end -}}
{{- end -}}

{{/* The webhook settings for one path. Takes a dict of root, tls, path and, unless it is Fail, failurePolicy. */}}
{{- define "controller.webhook.client" -}}
clientConfig:
  caBundle: {{ .tls.ca }}
  service:
    name: {{ include "controller.webhook.service" .root }}
    namespace: {{ .root.Release.Namespace }}
    path: {{ .path }}
failurePolicy: {{ .failurePolicy | default "Fail" }}
admissionReviewVersions: [v1beta1, v1]
sideEffects: None
{{- end -}}
