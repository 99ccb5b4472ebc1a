{{/* Written by "go run tasks.go gen" from the Specs. */}}

{{- define "rollcall.rules.node" -}}
{{- if not (include "rollcall.off" (list . "kubelet")) }}
{{- if eq (dig "kubelet" "pod_source" "kubelet" .) "kubelet" }}
# kubelet: pods of the node from its kubelet's /pods, where there is no Pods API
- apiGroups: [""]
  resources: ["nodes/pods"]
  verbs: ["get"]
{{- if dig "kubelet" "nodes_proxy" false . }}
# kubelet: the same before Kubernetes 1.33, asked for by kubelet.nodes_proxy; who has it can run commands in all containers
- apiGroups: [""]
  resources: ["nodes/proxy"]
  verbs: ["get"]
{{- end }}
{{- end }}
{{- if eq (dig "kubelet" "pod_source" "kubelet" .) "auto" }}
# kubelet: pods of the node from its kubelet's /pods, where there is no Pods API
- apiGroups: [""]
  resources: ["nodes/pods"]
  verbs: ["get"]
# kubelet: pods of the node where its kubelet is not asked, or cannot be
- apiGroups: [""]
  resources: ["pods"]
  verbs: ["list", "watch"]
{{- if dig "kubelet" "nodes_proxy" false . }}
# kubelet: the same before Kubernetes 1.33, asked for by kubelet.nodes_proxy; who has it can run commands in all containers
- apiGroups: [""]
  resources: ["nodes/proxy"]
  verbs: ["get"]
{{- end }}
{{- end }}
{{- if eq (dig "kubelet" "pod_source" "kubelet" .) "apiserver" }}
# kubelet: pods of the node where its kubelet is not asked, or cannot be
- apiGroups: [""]
  resources: ["pods"]
  verbs: ["list", "watch"]
{{- end }}
{{- end }}
{{- if not (include "rollcall.off" (list . "apiserver")) }}
{{- include "rollcall.resources" (dict "options" . "type" "node" "default" (list )) }}
{{- end }}
{{- end }}

{{- define "rollcall.ownRules.node" -}}
{{- end }}

{{- define "rollcall.rules.cluster" -}}
{{- if not (include "rollcall.off" (list . "apiserver")) }}
{{- include "rollcall.resources" (dict "options" . "type" "cluster" "default" (list "/namespaces" "/nodes" "/pods" "/services" "apps/deployments" "autoscaling/horizontalpodautoscalers" "autoscaling.k8s.io/verticalpodautoscalers" "discovery.k8s.io/endpointslices")) }}
{{- end }}
{{- end }}

{{- define "rollcall.ownRules.cluster" -}}
{{- if not (include "rollcall.off" (list . "apiserver")) }}
{{- if dig "apiserver" "share" false . }}
# apiserver: which replica has which nodes, asked for by apiserver.share
- apiGroups: ["coordination.k8s.io"]
  resources: ["leases"]
  verbs: ["list", "create", "update", "delete"]
{{- end }}
{{- end }}
{{- end }}
