{{- define "proxima.fullname" -}}
{{ .Release.Name }}-proxima
{{- end }}

{{- define "proxima.labels" -}}
app.kubernetes.io/name: proxima
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* Labels that select: (dict "root" $ "component" "learner") */}}
{{- define "proxima.selector" -}}
app.kubernetes.io/name: proxima
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "proxima.natsUrl" -}}
{{- if .Values.natsUrl }}{{ .Values.natsUrl }}
{{- else if .Values.nats.enabled }}nats://{{ .Release.Name }}-nats:4222
{{- else }}{{ fail "name the broker with natsUrl, or enable the one of the chart with nats.enabled" }}
{{- end }}
{{- end }}

{{/* The headless service, whose name stands for every server: the one that answers knows of all streams. */}}
{{- define "proxima.natsMonitoring" -}}
{{- if .Values.natsMonitoring }}{{ .Values.natsMonitoring }}
{{- else if .Values.nats.enabled }}{{ .Release.Name }}-nats-headless.{{ .Release.Namespace }}.svc:8222
{{- else }}{{ fail "autoscaling reads the task queue's lag from the broker: name its monitoring endpoint with natsMonitoring, or disable actors.autoscaling" }}
{{- end }}
{{- end }}

{{/* Who serves weights to actors, by component. */}}
{{- define "proxima.weightsComponent" -}}
{{ ternary "relay" "learner" .Values.relay.enabled }}
{{- end }}

{{/* --key value … of a map of settings */}}
{{- define "proxima.settings" -}}
{{- range $key, $value := . }}
- {{ printf "--%s=%v" $key $value | quote }}
{{- end }}
{{- end }}

{{- define "proxima.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "proxima.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "proxima.imagePullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* The folder of one role, as `proxima secure init` lays it out: (dict "root" $ "role" "learner" "files" (list …)) */}}
{{- define "proxima.secretsVolume" -}}
- name: secrets
  secret:
    secretName: {{ .root.Values.secrets }}
    defaultMode: 0440
    items:
    {{- range .files }}
      - { key: {{ $.role }}.{{ . }}, path: {{ $.role }}/{{ . }} }
    {{- end }}
{{- end }}

{{- define "proxima.namesEgress" -}}
- ports:
    - { port: 53, protocol: UDP }
    - { port: 53, protocol: TCP }
{{- end }}

{{/* The broker wherever it is, and names. */}}
{{- define "proxima.egress" -}}
{{ include "proxima.namesEgress" . }}
{{- if .Values.natsUrl }}
{{- range splitList "," .Values.natsUrl }}
- ports:
    - { port: {{ regexFind "[0-9]+$" . | default "4222" }}, protocol: TCP }
{{- end }}
{{- else }}
- to:
    - podSelector:
        matchLabels:
          app.kubernetes.io/name: nats
          app.kubernetes.io/instance: {{ .Release.Name }}
  ports:
    - { port: 4222, protocol: TCP }
{{- end }}
{{- end }}
