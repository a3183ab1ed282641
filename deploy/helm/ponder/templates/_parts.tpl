{{- define "ponder.name" -}}
{{- printf "%s" (eq .Release.Name .Chart.Name | ternary .Chart.Name (printf "%s-%s" .Release.Name .Chart.Name)) | trunc 50 | trimSuffix "-" -}}
{{- end }}

{{- define "ponder.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "ponder.labels" -}}
{{ include "ponder.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "ponder.serviceAccount" -}}
{{- .Values.serviceAccount.create | ternary (default (include "ponder.name" .) .Values.serviceAccount.name) (default "default" .Values.serviceAccount.name) -}}
{{- end }}

{{- define "ponder.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end }}

{{/* What every pod has: who it runs as, and that it has no business with Kubernetes. */}}
{{- define "ponder.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What every container has: the image, its variables, and a file system that it cannot write to. */}}
{{- define "ponder.container" -}}
image: {{ include "ponder.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
envFrom:
  - secretRef: {name: {{ .Values.secret | quote }}}
env:
  - {name: PONDER_HOST, value: "0.0.0.0"}
  - {name: PONDER_ADMIN_HOST, value: "0.0.0.0"}
  - {name: PONDER_ADMIN_PORT, value: "9100"}
  {{- with .Values.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
volumeMounts:
  - {name: home, mountPath: /var/lib/ponder}
  - {name: temporary, mountPath: /tmp}
  - {name: configuration, mountPath: /etc/ponder, readOnly: true}
{{- end }}

{{- define "ponder.volumes" -}}
- name: temporary
  emptyDir: {sizeLimit: 256Mi}
- name: configuration
  configMap:
    name: {{ include "ponder.name" . }}
    items:
      - {key: ponder.yaml, path: ponder.yaml}
      {{- range $name, $_ := .Values.policies }}
      - {key: policy.{{ $name }}.yaml, path: policies/{{ $name }}/policy.yaml}
      {{- end }}
{{- end }}

{{- define "ponder.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
