{{/* The template of an agent's pods. */}}
{{- define "rollcall.pod" -}}
{{- $top := .top }}
{{- $full := eq (printf "%s-%s" .type (include "rollcall.level" .)) "node-full" }}
{{- $security := dict "readOnlyRootFilesystem" true "allowPrivilegeEscalation" false }}
{{- if $full }}
{{- /* Root owns the sockets. SYS_PTRACE shows the programs of other users. */}}
{{- $_ := set $security "runAsUser" 0 }}
{{- $_ := set $security "capabilities" (dict "drop" (list "ALL") "add" (list "SYS_PTRACE")) }}
{{- else }}
{{- $_ := set $security "runAsUser" 65532 }}
{{- $_ := set $security "runAsNonRoot" true }}
{{- $_ := set $security "capabilities" (dict "drop" (list "ALL")) }}
{{- end }}
{{- $podSecurity := dict "seccompProfile" (dict "type" "RuntimeDefault") }}
{{- $rules := print (include "rollcall.rules" .) (include "rollcall.ownRules" .) }}
metadata:
  labels:
    {{- include "rollcall.labels" . | nindent 4 }}
    {{- with .values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/config: {{ include "rollcall.config" . | sha256sum }}
    {{- with .values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "rollcall.account" . }}
  automountServiceAccountToken: {{ not (empty $rules) }}
  enableServiceLinks: false
  {{- with $top.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- mustMergeOverwrite $podSecurity (deepCopy .values.podSecurityContext) | toYaml | nindent 4 }}
  {{- with .values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: rollcall
      image: {{ include "rollcall.image" . }}
      imagePullPolicy: {{ $top.Values.image.pullPolicy }}
      args:
        {{- toYaml .values.args | nindent 8 }}
      env:
        {{- if eq .type "node" }}
        - name: HOST_IP
          valueFrom: {fieldRef: {fieldPath: status.hostIP}}
        - name: NODE_NAME
          valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
        {{- else }}
        - name: POD_NAMESPACE
          valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
        - name: POD_NAME
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        {{- end }}
        {{- with .values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      securityContext:
        {{- mustMergeOverwrite $security (deepCopy .values.securityContext) | toYaml | nindent 8 }}
      resources:
        {{- toYaml .values.resources | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/rollcall, readOnly: true}
        {{- if $full }}
        - {name: proc, mountPath: /host/proc, readOnly: true}
        - {name: cgroup, mountPath: /host/sys/fs/cgroup, readOnly: true}
        - {name: pods-api, mountPath: /var/lib/kubelet/pods-api, readOnly: true}
        - {name: pod-resources, mountPath: /var/lib/kubelet/pod-resources, readOnly: true}
        {{- range $i, $folder := .values.runtimeFolders }}
        - {name: runtime-{{ $i }}, mountPath: /host{{ $folder }}, readOnly: true}
        {{- end }}
        {{- if .values.kubeletCertificate }}
        - {name: kubelet-certificate, mountPath: /var/lib/kubelet/pki/kubelet.crt, readOnly: true}
        {{- end }}
        {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "rollcall.name" . }}
    {{- if $full }}
    - name: proc
      hostPath: {path: /proc, type: Directory}
    - name: cgroup
      hostPath: {path: /sys/fs/cgroup, type: Directory}
    - name: pods-api
      hostPath: {path: {{ .values.kubeletFolder }}/pods-api, type: DirectoryOrCreate}
    - name: pod-resources
      hostPath: {path: {{ .values.kubeletFolder }}/pod-resources, type: DirectoryOrCreate}
    {{- range $i, $folder := .values.runtimeFolders }}
    - name: runtime-{{ $i }}
      hostPath: {path: {{ $folder }}, type: Directory}
    {{- end }}
    {{- with .values.kubeletCertificate }}
    - name: kubelet-certificate
      hostPath: {path: {{ . }}, type: File}
    {{- end }}
    {{- end }}
{{- end }}
