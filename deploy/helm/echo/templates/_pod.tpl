{{/* What the pods of server, gateway and probe have in common. */}}

{{/* The pod runs as nobody, and needs neither the API server nor variables about Services. */}}
{{- define "echo.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.pods.serviceAccountName }}
serviceAccountName: {{ . | quote }}
{{- end }}
securityContext:
  runAsNonRoot: true
  {{- with .Values.pods.user }}
  runAsUser: {{ int64 . }}
  runAsGroup: {{ int64 . }}
  fsGroup: {{ int64 . }}
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Where the pods of a component run, and how long they may take to stop: (list . "server" .Values.server) */}}
{{- define "echo.placement" -}}
{{- $root := index . 0 -}}
{{- $values := index . 2 -}}
terminationGracePeriodSeconds: {{ include "echo.terminationGrace" $root }}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "echo.selector" (list $root (index $ 1)) | nindent 8 }}
  {{- end }}
{{- include "echo.nodes" $values }}
{{- end -}}

{{/* The nodes that pods may run on: .Values.server */}}
{{- define "echo.nodes" -}}
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
{{- end -}}

{{/* The labels of a component's pods: (list . "server") */}}
{{- define "echo.podLabels" -}}
{{ include "echo.labels" . }}
{{- with (index . 0).Values.pods.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* echo closes what SHUTDOWN_GRACE has left over within two seconds. */}}
{{- define "echo.terminationGrace" -}}
{{- with .Values.shutdown -}}
{{ add .preStopSeconds .graceSeconds 2 .slackSeconds }}
{{- end -}}
{{- end -}}

{{- define "echo.container" -}}
image: {{ include "echo.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{/*
Kubernetes sends SIGTERM to a pod while it is still being taken off the endpoints' lists, and echo accepts nothing new
from then on. So the pod waits first, until nobody sends it anything. From 1.30 on, Kubernetes sleeps by itself; before,
the container's Python does.
*/}}
{{- define "echo.preStop" -}}
{{- if gt (int .Values.shutdown.preStopSeconds) 0 -}}
lifecycle:
  preStop:
    {{- if semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version }}
    sleep:
      seconds: {{ int64 .Values.shutdown.preStopSeconds }}
    {{- else }}
    exec:
      command: [python, -c, "import time; time.sleep({{ int64 .Values.shutdown.preStopSeconds }})"]
    {{- end }}
{{- end -}}
{{- end -}}

{{/* Where a pod runs; echo writes it into its records of calls. */}}
{{- define "echo.place" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: NODE_NAME
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
{{- end -}}

{{/* Ports of a pod, which must differ: (list . (dict "server.port" 8081 ...)) */}}
{{- define "echo.distinct" -}}
{{- $ports := index . 1 -}}
{{- if (index . 0).Values.metrics.enabled -}}
{{- $ports = set $ports "metrics.port" (index . 0).Values.metrics.port -}}
{{- end -}}
{{- if ne (len (uniq (values $ports))) (len $ports) -}}
{{- fail (printf "%s: must differ" (join ", " (sortAlpha (keys $ports)))) -}}
{{- end -}}
{{- end -}}

{{/* Settings of a component that the chart has no values for: (list . .Values.server (list "NAME" ...)) */}}
{{- define "echo.settings" -}}
{{- $root := index . 0 -}}
{{- $values := index . 1 -}}
{{- $own := concat (index . 2) (list "SHUTDOWN_GRACE" "METRICS_PORT" "WORKERS") -}}
{{- $bind := $root.Values.pods.bind -}}
{{- if $bind -}}
{{- $own = append $own "METRICS_BIND" -}}
{{- end -}}
- name: SHUTDOWN_GRACE
  value: {{ printf "%ds" (int64 $root.Values.shutdown.graceSeconds) | quote }}
{{- if $root.Values.metrics.enabled }}
- name: METRICS_PORT
  value: {{ $root.Values.metrics.port | quote }}
{{- with $bind }}
- name: METRICS_BIND
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- if ne (toString $values.workers) "1" }}
- name: WORKERS
  value: {{ $values.workers | quote }}
{{- end }}
{{- $settings := merge (dict) ($values.settings | default dict) ($root.Values.settings | default dict) }}
{{- range $name, $value := $settings }}
{{- if has $name $own }}
{{- fail (printf "settings: %s is set by the chart from another value; see values.yaml" $name) }}
{{- end }}
- name: {{ $name }}
  {{- /* Helm has every number as a float, which would come out as 1e+06. */}}
  value: {{ ternary (int64 $value) $value (and (kindIs "float64" $value) (eq (floor $value) (float64 $value))) | toString | quote }}
{{- end }}
{{- with $values.extraEnv }}
{{- range . }}
{{- if or (has .name $own) (hasKey $settings .name) }}
{{- fail (printf "extraEnv: %s is set already, by settings or by the chart" .name) }}
{{- end }}
{{- end }}
{{ toYaml . }}
{{- end }}
{{- end -}}
