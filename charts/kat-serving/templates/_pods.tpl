{{/* What the pods of all parts share. Everything holds under the restricted Pod Security Standard. */}}

{{/* `user` where the image knows one alone. A platform that gives each namespace ids of its own refuses any other. */}}
{{- define "kat.podSecurity" -}}
runAsNonRoot: true
{{- if ne (include "kat.runAsUser" .root) "platform" }}
{{- $user := .user | default (include "kat.runAsUser" .root) }}
runAsUser: {{ $user }}
runAsGroup: {{ $user }}
fsGroup: {{ $user }}
{{- end }}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* Numbers come as floating point ones, whose last digits printing may lose. */}}
{{- define "kat.runAsUser" -}}
{{ kindIs "string" .Values.runAsUser | ternary .Values.runAsUser (int64 .Values.runAsUser) }}
{{- end }}

{{- define "kat.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "kat.placement" -}}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
# A node that fails takes one replica with it, not all.
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "kat.selector" . | nindent 8 }}
{{- end }}

{{- define "kat.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "kat.settings" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end }}

{{- define "kat.secretEnv" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef: {name: {{ .secret }}, key: {{ .key }}{{ if .optional }}, optional: true{{ end }}}
{{- end }}

{{- define "kat.databaseEnv" -}}
{{- $database := .Values.database -}}
{{- $postgres := include "kat.name" (dict "root" . "part" "postgres") -}}
{{- if eq $database.mode "external" -}}
{{- if not $database.external.existingSecret -}}
{{ fail (printf "\n\nmetering needs a database. Name a Secret with a postgresql:// URL in database.external.existingSecret:\n\n  kubectl create secret generic kat-database --namespace %s --from-literal=%s=postgresql://USER:PASSWORD@HOST/NAME\n\nor set database.mode to trial or cloudnative-pg.\n" .Release.Namespace $database.external.key) }}
{{- end -}}
{{ include "kat.secretEnv" (dict "name" "KAT_DATABASE_URL" "secret" $database.external.existingSecret "key" $database.external.key) }}
{{- else if eq $database.mode "trial" -}}
{{ include "kat.secretEnv" (dict "name" "KAT_DATABASE_URL" "secret" $postgres "key" "uri") }}
{{- else -}}
{{/* CloudNativePG makes this one for the database's owner. */ -}}
{{ include "kat.secretEnv" (dict "name" "KAT_DATABASE_URL" "secret" (printf "%s-app" $postgres) "key" "uri") }}
{{- end -}}
{{- end }}
