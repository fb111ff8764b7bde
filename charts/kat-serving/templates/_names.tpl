{{/* Names, labels and images. A part's selector holds no version: it cannot be changed once it is there. */}}

{{- define "kat.name" -}}
{{ .root.Values.namePrefix }}-{{ .part }}
{{- end }}

{{- define "kat.selector" -}}
app.kubernetes.io/name: kat-{{ .part }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "kat.labels" -}}
{{ include "kat.selector" . }}
app.kubernetes.io/part-of: kat-serving
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "kat.metadata" -}}
name: {{ include "kat.name" . }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "kat.labels" . | nindent 2 }}
{{- end }}

{{/* A digest says it all; a tag beside it would only be one more thing to be wrong. */}}
{{- define "kat.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "kat.meteringUrl" -}}
http://{{ include "kat.name" (dict "root" . "part" "metering") }}.{{ .Release.Namespace }}
{{- end }}

{{- define "kat.tokensSecret" -}}
{{- if .Values.tokens.existingSecret -}}
{{ .Values.tokens.existingSecret }}
{{- else if .Values.tokens.generate -}}
{{ include "kat.name" (dict "root" . "part" "tokens") }}
{{- else -}}
{{ fail (printf "\n\nmetering needs its tokens. Make them, and name the Secret in tokens.existingSecret:\n\n  kubectl create secret generic kat-tokens --namespace %s \\\n    --from-literal=%s=$(openssl rand -hex 24) \\\n    --from-literal=%s=$(openssl rand -hex 24) \\\n    --from-literal=%s=$(openssl rand -hex 24)\n\nor set tokens.generate=true to try things out.\n" .Release.Namespace .Values.tokens.adminKey .Values.tokens.serviceKey .Values.tokens.consoleKey) }}
{{- end -}}
{{- end }}

{{/* A value of a Secret that a former release made, or a new one: what is random must not change with each upgrade. */}}
{{- define "kat.keptOrNew" -}}
{{- $secret := lookup "v1" "Secret" .root.Release.Namespace .secret -}}
{{- if and $secret (hasKey ($secret.data | default dict) .key) -}}
{{ index $secret.data .key | b64dec }}
{{- else -}}
{{ randAlphaNum 48 }}
{{- end -}}
{{- end }}
