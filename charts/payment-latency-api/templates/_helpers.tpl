{{- define "payment-latency-api.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "payment-latency-api.migration" -}}
{{ include "payment-latency-api.fullname" . }}-migrate
{{- end -}}

{{- define "payment-latency-api.serviceAccountName" -}}
{{ include "payment-latency-api.fullname" . }}
{{- end -}}

{{- /* Of every pod, serving or migrating: they stay the same for as long as the release lives. */ -}}
{{- define "payment-latency-api.releaseLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "payment-latency-api.selectorLabels" -}}
{{ include "payment-latency-api.releaseLabels" . }}
app.kubernetes.io/component: api
{{- end -}}

{{- /* On objects and pods: facts of the region. What changes with every chart stays off the pods, or they would roll for it. */ -}}
{{- define "payment-latency-api.regionLabels" -}}
app.kubernetes.io/part-of: {{ .Chart.Name }}
paydeploy.io/region: {{ .Values.region }}
{{- with .Values.dataResidency }}
paydeploy.io/data-residency: {{ . }}
{{- end }}
{{- end -}}

{{- define "payment-latency-api.commonLabels" -}}
{{ include "payment-latency-api.regionLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "payment-latency-api.labels" -}}
{{ include "payment-latency-api.selectorLabels" . }}
{{ include "payment-latency-api.commonLabels" . }}
{{- end -}}

{{- define "payment-latency-api.podLabels" -}}
{{ include "payment-latency-api.selectorLabels" . }}
{{ include "payment-latency-api.regionLabels" . }}
{{- end -}}

{{- define "payment-latency-api.migrationPodLabels" -}}
{{ include "payment-latency-api.releaseLabels" . }}
app.kubernetes.io/component: migration
{{ include "payment-latency-api.regionLabels" . }}
{{- end -}}

{{- define "payment-latency-api.migrationLabels" -}}
{{ include "payment-latency-api.releaseLabels" . }}
app.kubernetes.io/component: migration
{{ include "payment-latency-api.commonLabels" . }}
{{- end -}}

{{- /* The environment of the serving pods, which roll when it changes. */ -}}
{{- define "payment-latency-api.config" -}}
REGION: {{ .Values.awsRegion | quote }}
ENVIRONMENT: {{ .Values.environment | quote }}
PORT: "8080"
METRICS_PORT: "9090"
DATABASE_HOST: {{ .Values.database.host | quote }}
DATABASE_PORT: {{ .Values.database.port | quote }}
DATABASE_NAME: {{ .Values.database.name | quote }}
DATABASE_CA_FILE: /etc/payment-api/rds-ca-bundle.pem
SECRETS_DIR: /var/run/secrets/payment-api
DRAIN_SECONDS: {{ include "payment-latency-api.drainSeconds" . | quote }}
SHUTDOWN_SECONDS: {{ .Values.shutdownSeconds | quote }}
{{- end -}}

{{- /* A pod answers until the load balancer has forgotten it, which it begins to do some seconds after SIGTERM. */ -}}
{{- define "payment-latency-api.drainSeconds" -}}
{{ add .Values.ingress.deregistrationDelaySeconds 5 }}
{{- end -}}

{{- define "payment-latency-api.image" -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- end -}}

{{- define "payment-latency-api.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65534
runAsGroup: 65534
fsGroup: 65534
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "payment-latency-api.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- /* One key of a secret in Secrets Manager; defaults are written out, or Argo CD would see a difference. */ -}}
{{- define "payment-latency-api.remoteKey" -}}
- secretKey: {{ .secretKey }}
  remoteRef:
    key: {{ .arn | quote }}
    property: {{ .property }}
    conversionStrategy: Default
    decodingStrategy: None
    metadataPolicy: None
{{- end -}}
