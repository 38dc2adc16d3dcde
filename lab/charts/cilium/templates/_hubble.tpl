{{/* A Deployment on the pod network with its ServiceAccount and Service. */}}
{{- define "cilium.hubbleDeployment" -}}
{{- if .account.create -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .account.name }}
  namespace: {{ .root.Release.Namespace }}
---
{{- end }}
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    k8s-app: {{ .name }}
spec:
  type: ClusterIP
  selector:
    k8s-app: {{ .name }}
  ports:
    - port: {{ .port }}
      protocol: TCP
      targetPort: {{ .target }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    k8s-app: {{ .name }}
    app.kubernetes.io/part-of: cilium
    app.kubernetes.io/name: {{ .name }}
spec:
  replicas: {{ include "cilium.text" .values.replicas }}
  selector:
    matchLabels:
      k8s-app: {{ .name }}
  template:
    metadata:
      {{- if .values.rollOutPods }}
      annotations:
        {{- include "cilium.configChecksum" .root | nindent 8 }}
      {{- end }}
      labels:
        k8s-app: {{ .name }}
        app.kubernetes.io/part-of: cilium
        app.kubernetes.io/name: {{ .name }}
    spec:
      serviceAccountName: {{ .account.name }}
      {{- with .values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        {{- toYaml .containers | nindent 8 }}
{{- end -}}
