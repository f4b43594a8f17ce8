{{/* The names of what the release owns. */}}
{{- define "model.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{- define "model.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "model.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "model.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* The six recommended labels; the version is the model's. */}}
{{- define "model.labels" -}}
{{ include "model.selector" . }}
app.kubernetes.io/version: {{ include "model.versionLabel" .Values.model | quote }}
app.kubernetes.io/component: server
app.kubernetes.io/part-of: {{ include "model.name" . | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{- end }}

{{/* A model's version as a label takes it: what Kubernetes forbids in one becomes a hyphen. */}}
{{- define "model.versionLabel" -}}
{{- regexReplaceAll "[^A-Za-z0-9_.-]+" (.version | default "unreleased") "-" | trunc 63 | trimAll "-_." | default "unreleased" -}}
{{- end }}

{{/* What selectors say: it can never change in the life of a Deployment. */}}
{{- define "model.selector" -}}
app.kubernetes.io/name: {{ include "model.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "model.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "model.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{/* repository@sha256:… ; a tag only where somebody said that the image is in no registry. */}}
{{- define "model.image" -}}
{{- $image := .image -}}
{{- $repository := required "image.repository is empty: modelyard deploy sets it" $image.repository -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else if .pinned -}}
{{- fail "image.digest is empty: an image is pinned by its digest (image.pinned=false and image.tag for one that is in no registry)" -}}
{{- else -}}
{{- printf "%s:%s" $repository (required "image.tag is empty" $image.tag) -}}
{{- end -}}
{{- end }}

{{/* preStop, then the drain, then what the server gives its workers to end (30 s), and a margin. */}}
{{- define "model.grace" -}}
{{- add (int .Values.preStopSeconds) (int (ceil (float64 .Values.server.drainSeconds))) 35 -}}
{{- end }}

{{- define "model.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "model.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end }}
