{{/* The pod of one track: stable or canary. Takes root, track, image and model. */}}
{{- define "model.pod" -}}
{{- $ := .root -}}
metadata:
  annotations:
    checksum/config: {{ include (print $.Template.BasePath "/configmap.yaml") $ | sha256sum }}
    modelyard.dev/package-digest: {{ .model.packageDigest | quote }}
    {{- $usual := dict "prometheus.io/scrape" "true" "prometheus.io/path" "/metrics" "prometheus.io/port" (toString $.Values.server.port) }}
    {{- toYaml (merge (dict) $.Values.podAnnotations $usual) | nindent 4 }}
  labels:
    {{- include "model.selector" $ | nindent 4 }}
    app.kubernetes.io/version: {{ include "model.versionLabel" .model | quote }}
    app.kubernetes.io/component: server
    app.kubernetes.io/part-of: {{ include "model.name" $ | quote }}
    app.kubernetes.io/managed-by: {{ $.Release.Service }}
    modelyard.dev/track: {{ .track }}
    {{- with $.Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "model.serviceAccountName" $ }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "model.grace" $ }}
  securityContext:
    {{- include "model.podSecurityContext" $ | nindent 4 }}
  {{- with $.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with $.Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  containers:
    - name: server
      image: {{ include "model.image" (dict "image" .image "pinned" $.Values.image.pinned) }}
      imagePullPolicy: {{ $.Values.image.pullPolicy }}
      securityContext:
        {{- include "model.securityContext" $ | nindent 8 }}
      ports:
        - name: http
          containerPort: {{ $.Values.server.port }}
          protocol: TCP
          {{- with $.Values.server.hostPort }}
          hostPort: {{ . }}
          hostIP: 127.0.0.1
          {{- end }}
      envFrom:
        - configMapRef:
            name: {{ include "model.fullname" $ }}
      env:
        - name: MODEL_VERSION
          value: {{ .model.version | quote }}
      {{- if $.Values.probes.enabled }}
      # The port is open only once the golden samples came out as packed, so each probe proves it.
      startupProbe:
        httpGet: {path: /v2/health/live, port: http}
        {{- toYaml $.Values.probes.startup | nindent 8 }}
      readinessProbe:
        httpGet: {path: /v2/health/ready, port: http}
        {{- toYaml $.Values.probes.readiness | nindent 8 }}
      livenessProbe:
        httpGet: {path: /v2/health/live, port: http}
        {{- toYaml $.Values.probes.liveness | nindent 8 }}
      {{- end }}
      lifecycle:
        preStop:
          {{- if semverCompare ">=1.30-0" $.Capabilities.KubeVersion.Version }}
          sleep:
            seconds: {{ $.Values.preStopSeconds }}
          {{- else }}
          exec:
            command: [python3, -c, "import time; time.sleep({{ $.Values.preStopSeconds }})"]
          {{- end }}
      resources:
        {{- toYaml $.Values.resources | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        {{- if $.Values.server.predictionLog.enabled }}
        - {name: predictions, mountPath: /var/log/predictions}
        {{- end }}
        {{- if $.Values.server.apiKeysSecret }}
        - {name: api-keys, mountPath: /etc/modelyard, readOnly: true}
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: {sizeLimit: 64Mi}
    {{- if $.Values.server.predictionLog.enabled }}
    - name: predictions
      emptyDir: {sizeLimit: {{ $.Values.server.predictionLog.sizeLimit }}}
    {{- end }}
    {{- with $.Values.server.apiKeysSecret }}
    - name: api-keys
      secret: {secretName: {{ . }}, defaultMode: 0440}
    {{- end }}
  {{- if $.Values.topologySpread.enabled }}
  topologySpreadConstraints:
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: {{ $.Values.topologySpread.whenUnsatisfiable }}
      labelSelector:
        matchLabels:
          {{- include "model.selector" $ | nindent 10 }}
          app.kubernetes.io/component: server
    {{- end }}
  {{- end }}
  {{- with $.Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $.Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $.Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
