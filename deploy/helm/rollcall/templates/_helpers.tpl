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

{{/* The level of an agent: those of the cluster have one. */}}
{{- define "rollcall.level" -}}
{{ default "all" .values.level }}
{{- end }}

{{/* The options of an agent: those of its level, then those of all agents, then its own. Replicas
     share the pods. */}}
{{- define "rollcall.config" -}}
{{- $file := printf "presets/%s-%s.yaml" .type (include "rollcall.level" .) -}}
{{- $preset := .top.Files.Get $file | fromYaml -}}
{{- if and (eq .type "cluster") (gt (int .values.replicas) 1) -}}
{{- $_ := set $preset "apiserver" (dict "share" true "share_group" (include "rollcall.name" .)) -}}
{{- end -}}
{{- mustMergeOverwrite $preset (deepCopy .top.Values.config) (deepCopy .values.config) | toYaml -}}
{{- end }}

{{/* What the agent asks of the cluster with its options; empty if it asks nothing. */}}
{{- define "rollcall.rules" -}}
{{- $config := include "rollcall.config" . | fromYaml -}}
{{- $rules := include (printf "rollcall.rules.%s" .type) $config | trim -}}
{{- with $rules }}{{ . }}
{{ end -}}
{{- with .values.extraRules }}{{ toYaml . }}
{{ end -}}
{{- end }}

{{/* What it asks of its own namespace. */}}
{{- define "rollcall.ownRules" -}}
{{- $config := include "rollcall.config" . | fromYaml -}}
{{- include (printf "rollcall.ownRules.%s" .type) $config | trim -}}
{{- end }}

{{/* Whether a collector is switched off: the argument is (list options "kubelet"). YAML before 1.2
     takes off for false. */}}
{{- define "rollcall.off" -}}
{{- $switch := dig "collectors" (last .) "auto" (first .) | toString -}}
{{- if has $switch (list "off" "false") -}}off{{- end -}}
{{- end }}

{{/* The resources that the collector apiserver is asked for by rollcall's options: those that are
     named, or else those of the argument (dict "options" … "default" …); and those that tags are
     made of, as far as they are other ones. */}}
{{- define "rollcall.resources" -}}
{{- $options := .options }}
{{- $named := dig "apiserver" "resources" (list) $options }}
{{- if not $named }}
{{- $named = .default }}
{{- end }}
{{- $mapped := concat (dig "kubernetes_resources_labels_as_tags" (dict) $options | keys) (dig "kubernetes_resources_annotations_as_tags" (dict) $options | keys) }}
{{- range $resource, $kind := dict "namespaces" "namespace" "nodes" "node" }}
{{- if or (dig (printf "kubernetes_%s_labels_as_tags" $kind) (dict) $options) (dig (printf "kubernetes_%s_annotations_as_tags" $kind) (dict) $options) }}
{{- $mapped = append $mapped $resource }}
{{- end }}
{{- end }}
{{- range $entry := $mapped }}
{{- $parts := splitList "." $entry }}
{{- if or (eq $.type "cluster") (has $entry (list "namespaces" "nodes")) }}
{{- if not (has $entry (list "pods" "secrets" "configmaps" "events" "events.events.k8s.io")) }}
{{- $named = append $named (printf "%s/%s" (rest $parts | join ".") (first $parts)) }}
{{- end }}
{{- end }}
{{- end }}
{{- $asked := list }}
{{- range $entry := $named }}
{{- $parts := splitList "/" (trimPrefix "/" $entry) }}
{{- $group := ternary "" (first $parts) (eq (len $parts) 1) }}
{{- if and (eq (len $parts) 2) (eq $group "v1") }}
{{- $group = "" }}
{{- end }}
{{- if eq $entry "deployments" }}
{{- $asked = append $asked "apps/deployments" }}
{{- else if eq $entry "autoscalers" }}
{{- $asked = concat $asked (list "autoscaling/horizontalpodautoscalers" "autoscaling.k8s.io/verticalpodautoscalers") }}
{{- else }}
{{- $asked = append $asked (printf "%s/%s" $group (last $parts)) }}
{{- if and (eq $group "") (eq (last $parts) "services") }}
{{- $asked = append $asked "discovery.k8s.io/endpointslices" }}
{{- end }}
{{- end }}
{{- end }}
{{- range $asked | uniq | sortAlpha }}
# apiserver: names, labels and what follows from them
- apiGroups: [{{ splitList "/" . | first | quote }}]
  resources: [{{ splitList "/" . | last | quote }}]
  verbs: ["list", "watch"]
{{- end }}
{{- end }}
