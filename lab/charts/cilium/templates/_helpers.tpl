{{/* An option's text: lists are joined by spaces, and whole numbers have no exponent. */}}
{{- define "cilium.text" -}}
{{- if kindIs "slice" . -}}
{{- join " " . -}}
{{- else if and (kindIs "float64" .) (eq (floor .) .) -}}
{{- int64 . -}}
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end -}}

{{- define "cilium.image" -}}
{{- if .override -}}
{{- .override -}}
{{- else -}}
{{- printf "%s:%s" .repository .tag -}}
{{- if and .useDigest .digest -}}@{{ .digest }}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "cilium.kubeProxyReplacement" -}}
{{- $text := toString .Values.kubeProxyReplacement -}}
{{- if or (eq $text "") (eq $text "<nil>") -}}false{{- else -}}{{ $text }}{{- end -}}
{{- end -}}

{{- define "cilium.ipsec" -}}
{{- if and .Values.encryption.enabled (eq .Values.encryption.type "ipsec") -}}
true
{{- end -}}
{{- end -}}

{{- define "cilium.envoyDaemonSet" -}}
{{- if and .Values.l7Proxy (or (kindIs "invalid" .Values.envoy.enabled) .Values.envoy.enabled) -}}
true
{{- end -}}
{{- end -}}

{{/* Without kube-proxy the agent and the operator cannot use the API's Service before they run. */}}
{{- define "cilium.apiEnvironment" -}}
- name: K8S_NODE_NAME
  valueFrom:
    fieldRef:
      apiVersion: v1
      fieldPath: spec.nodeName
- name: CILIUM_K8S_NAMESPACE
  valueFrom:
    fieldRef:
      apiVersion: v1
      fieldPath: metadata.namespace
{{- with .Values.k8sServiceHost }}
- name: KUBERNETES_SERVICE_HOST
  value: {{ . | quote }}
{{- end }}
{{- with .Values.k8sServicePort }}
- name: KUBERNETES_SERVICE_PORT
  value: {{ include "cilium.text" . | quote }}
{{- end }}
{{- end -}}

{{/* Changes with the configuration, so that pods which carry it are replaced on an upgrade. */}}
{{- define "cilium.configChecksum" -}}
cilium.io/cilium-configmap-checksum: {{ include "cilium.config" . | sha256sum | quote }}
{{- end -}}
