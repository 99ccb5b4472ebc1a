{{/* Written by "go run tasks.go gen" from the Specs. */}}

{{- define "rollcall.rules.node.full" -}}
{{- if not (include "rollcall.off" (list . "kubelet")) }}
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
{{- end }}

{{- define "rollcall.rules.node.self" -}}
{{- if not (include "rollcall.off" (list . "kubelet")) }}
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
{{- end }}
