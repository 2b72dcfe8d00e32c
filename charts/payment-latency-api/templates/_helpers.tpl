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

{{- /* Labels of every pod, serving or migrating. They never change during the life of a release. */ -}}
{{- define "payment-latency-api.releaseLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "payment-latency-api.selectorLabels" -}}
{{ include "payment-latency-api.releaseLabels" . }}
app.kubernetes.io/component: api
{{- end -}}

{{- /* Labels of objects and pods: facts of the region. Labels that change with the chart are not on pods, which would roll. */ -}}
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

{{- /* Environment variables of the serving pods, which roll when one changes. */ -}}
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
{{- /* A payment that begins just before the port closes has ended before requests are cut off. */}}
DATABASE_TOTAL_SECONDS: {{ max 1 (min 15 (sub .Values.shutdownSeconds 5)) | quote }}
{{- end -}}

{{- /* A pod serves until the load balancer has deregistered it, which starts a few seconds after SIGTERM. */ -}}
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

{{- /* One key of a secret in Secrets Manager. Defaults are spelled out, because Argo CD would report them as a difference. */ -}}
{{- define "payment-latency-api.remoteKey" -}}
- secretKey: {{ .secretKey }}
  remoteRef:
    key: {{ .arn | quote }}
    property: {{ .property }}
    conversionStrategy: Default
    decodingStrategy: None
    metadataPolicy: None
{{- end -}}
