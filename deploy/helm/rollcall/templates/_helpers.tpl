{{/* The name of what belongs to the release, "<release>-rollcall" unless it says so itself. */}}
{{- define "rollcall.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* In what follows, the argument is (dict "top" $ "type" "node" "values" .Values.node). */}}

{{- define "rollcall.name" -}}
{{ include "rollcall.fullname" .top }}-{{ .type }}
{{- end }}

{{- define "rollcall.selector" -}}
app.kubernetes.io/name: {{ default .top.Chart.Name .top.Values.nameOverride }}
app.kubernetes.io/instance: {{ .top.Release.Name }}
app.kubernetes.io/component: {{ .type }}
{{- end }}

{{- define "rollcall.labels" -}}
{{ include "rollcall.selector" . }}
app.kubernetes.io/version: {{ .top.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .top.Release.Service }}
helm.sh/chart: {{ .top.Chart.Name }}-{{ .top.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "rollcall.account" -}}
{{- if .values.serviceAccount.create -}}
{{ default (include "rollcall.name" .) .values.serviceAccount.name }}
{{- else -}}
{{ default "default" .values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "rollcall.image" -}}
{{- $i := .top.Values.image -}}
{{- $repository := required "image.repository is not set: no image is published yet" $i.repository -}}
{{- if $i.digest -}}
{{ $repository }}@{{ $i.digest }}
{{- else -}}
{{ $repository }}:{{ default .top.Chart.AppVersion $i.tag }}
{{- end }}
{{- end }}

{{/* The options of an agent: those of its level, then those of all agents, then its own. */}}
{{- define "rollcall.config" -}}
{{- $preset := printf "presets/%s-%s.yaml" .type .values.level | .top.Files.Get | fromYaml -}}
{{- mustMergeOverwrite $preset (deepCopy .top.Values.config) (deepCopy .values.config) | toYaml -}}
{{- end }}

{{/* What the agent asks of the cluster with its options; empty if it asks nothing. */}}
{{- define "rollcall.rules" -}}
{{- $config := include "rollcall.config" . | fromYaml -}}
{{- $rules := include (printf "rollcall.rules.%s.%s" .type .values.level) $config | trim -}}
{{- with $rules }}{{ . }}
{{ end -}}
{{- with .values.extraRules }}{{ toYaml . }}
{{ end -}}
{{- end }}

{{/* Whether a collector is switched off: the argument is (list options "kubelet"). YAML before 1.2
     takes off for false. */}}
{{- define "rollcall.off" -}}
{{- $switch := dig "collectors" (last .) "auto" (first .) | toString -}}
{{- if has $switch (list "off" "false") -}}off{{- end -}}
{{- end }}
