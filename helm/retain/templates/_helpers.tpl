{{/* Names, labels and the parts that several pods share. */}}

{{- define "retain.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 48 | trimSuffix "-" }}
{{- end }}

{{- define "retain.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" }}
{{- else if contains (include "retain.name" .) .Release.Name }}
{{- .Release.Name | trunc 48 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "retain.name" .) | trunc 48 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Labels of an object: (list $ "component"). */}}
{{- define "retain.labels" -}}
{{- $root := index . 0 -}}
{{ include "retain.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
app.kubernetes.io/part-of: retain
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "retain.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "retain.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/*
Metadata of a pod: (list $ "component" "store" "ray" ...), the secrets that it reads last. A change of what the values say
of one of them rolls the pod (a change of a setting does so by itself: it stands in the pod). A secret that changes in the
cluster alone cannot be seen here: kubectl rollout restart, or another podAnnotations.
*/}}
{{- define "retain.podMetadata" -}}
{{- $root := index . 0 -}}
{{- $reads := slice . 2 -}}
labels:
  {{- include "retain.labels" . | nindent 2 }}
  {{- with $root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- if or $reads $root.Values.podAnnotations }}
annotations:
  {{- range $reads }}
  checksum/{{ . }}: {{ include (printf "retain.said.%s" .) $root | sha256sum }}
  {{- end }}
  {{- with $root.Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* What the values say of each secret. */}}
{{- define "retain.said.store" -}}
{{- include "retain.storeSecret" . }}
{{- if not .Values.objectStore.existingSecret }}
{{- list .Values.objectStore.accessKey .Values.objectStore.secretKey | toJson }}
{{- end }}
{{- end }}

{{- define "retain.said.identity" -}}
{{- include "retain.identitySecret" . }}
{{- end }}

{{- define "retain.said.ray" -}}
{{- include "retain.raySecret" . }}
{{- end }}

{{- define "retain.said.database" -}}
{{- if eq .Values.database.kind "postgresql" }}
{{- list .Values.database.postgresql.existingSecret .Values.database.postgresql.existingSecretKey | toJson }}
{{- if not .Values.database.postgresql.existingSecret }}
{{- .Values.database.postgresql.url }}
{{- end }}
{{- end }}
{{- end }}

{{/*
Start of a pod's spec: (list $ placement), where placement has nodeSelector, tolerations, affinity; with a service account
as the third the pod gets that one and its token.
*/}}
{{- define "retain.podSpec" -}}
{{- $root := index . 0 -}}
{{- $where := index . 1 -}}
{{- $account := gt (len .) 2 | ternary (last .) (include "retain.serviceAccount" $root) -}}
serviceAccountName: {{ $account }}
automountServiceAccountToken: {{ gt (len .) 2 }}
enableServiceLinks: false
securityContext:
  {{- toYaml $root.Values.podSecurityContext | nindent 2 }}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $where.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $where.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $where.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "retain.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "retain.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* (list $ "orchestrator") */}}
{{- define "retain.image" -}}
{{- $root := index . 0 -}}
{{- printf "%s/%s:%s" $root.Values.image.registry (index . 1) (default $root.Chart.AppVersion $root.Values.image.tag) }}
{{- end }}

{{- define "retain.storeSecret" -}}
{{- default (printf "%s-object-store" (include "retain.fullname" .)) .Values.objectStore.existingSecret }}
{{- end }}

{{- define "retain.identitySecret" -}}
{{- default (printf "%s-identity" (include "retain.fullname" .)) .Values.identity.existingSecret }}
{{- end }}

{{- define "retain.raySecret" -}}
{{- default (printf "%s-ray" (include "retain.fullname" .)) .Values.ray.existingSecret }}
{{- end }}

{{/*
The secrets that nobody has given, as JSON: for each its name, the setting that would name another one, and a recipe for
each key (see deploy/bootstrap.py). Helm's own marks let a later release take a secret over, when its values hold it.
*/}}
{{- define "retain.bootstrap.secrets" -}}
{{- $ours := dict "meta.helm.sh/release-name" .Release.Name "meta.helm.sh/release-namespace" .Release.Namespace }}
{{- $wanted := list }}
{{- if and (not .Values.objectStore.existingSecret) (not .Values.objectStore.secretKey) }}
{{- $keys := dict "access-key" (dict "value" .Values.objectStore.accessKey) "secret-key" (dict "alphanumeric" 40) }}
{{- $labels := include "retain.labels" (list . "object-store") | fromYaml }}
{{- $wanted = append $wanted (dict "name" (include "retain.storeSecret" .) "setting" "objectStore.existingSecret" "keys" $keys "labels" $labels "annotations" $ours) }}
{{- end }}
{{- if not .Values.ray.existingSecret }}
{{- $labels := include "retain.labels" (list . "ray") | fromYaml }}
{{- $wanted = append $wanted (dict "name" (include "retain.raySecret" .) "setting" "ray.existingSecret" "keys" (dict "auth_token" (dict "hex" 64)) "labels" $labels "annotations" $ours) }}
{{- end }}
{{- if not .Values.identity.existingSecret }}
{{- $keys := dict "admin-token" (dict "hex" 64) "service-token" (dict "hex" 64) }}
{{- $labels := include "retain.labels" (list . "identity") | fromYaml }}
{{- $wanted = append $wanted (dict "name" (include "retain.identitySecret" .) "setting" "identity.existingSecret" "keys" $keys "labels" $labels "annotations" $ours) }}
{{- end }}
{{- $wanted | toJson }}
{{- end }}

{{- define "retain.bootstrap.hook" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{- define "retain.storeEndpoint" -}}
{{- if .Values.objectStore.externalEndpoint }}
{{- if not (or .Values.objectStore.existingSecret .Values.objectStore.secretKey) }}
{{- fail "objectStore.externalEndpoint: a store of yours has keys of yours; set objectStore.existingSecret (a secret with the keys access-key and secret-key), or accessKey and secretKey" }}
{{- end }}
{{- .Values.objectStore.externalEndpoint }}
{{- else if .Values.objectStore.minio.enabled }}
{{- printf "http://%s-minio:9000" (include "retain.fullname" .) }}
{{- else }}
{{- fail "objectStore: set externalEndpoint (http://host:port) or minio.enabled=true" }}
{{- end }}
{{- end }}

{{/* A head of KubeRay is reached by the service that the operator makes. */}}
{{- define "retain.rayHead" -}}
{{- printf "%s-ray-head%s" (include "retain.fullname" .) (ternary "-svc" "" .Values.ray.kuberay) }}
{{- end }}

{{- define "retain.env.services" -}}
- name: RETAIN_SERVER
  value: {{ printf "%s-orchestrator:%v" (include "retain.fullname" .) .Values.orchestrator.service.port | quote }}
- name: RETAIN_EVALUATOR
  value: {{ printf "%s-evaluator:%v" (include "retain.fullname" .) .Values.evaluator.service.port | quote }}
{{- end }}

{{/* The network between the pods is the cluster's own; the values say what that means. */}}
{{- define "retain.env.plainText" -}}
- name: RETAIN_ALLOW_PLAIN_TEXT
  value: "1"
{{- end }}

{{- define "retain.env.identity" -}}
- name: RETAIN_ADMIN_TOKEN
  valueFrom: {secretKeyRef: {name: {{ include "retain.identitySecret" . }}, key: admin-token}}
- name: RETAIN_SERVICE_TOKEN
  valueFrom: {secretKeyRef: {name: {{ include "retain.identitySecret" . }}, key: service-token}}
{{- end }}

{{/* Of the orchestrator's further settings those that workers need, secret ones among them. */}}
{{- define "retain.env.tools" -}}
{{- range .Values.orchestrator.env }}
{{- if regexMatch "^(HF|MLFLOW|WANDB|AWS)_" .name }}
{{ list . | toYaml }}
{{- end }}
{{- end }}
{{- end }}

{{- define "retain.env.store" -}}
- name: RETAIN_S3_ENDPOINT
  value: {{ include "retain.storeEndpoint" . | quote }}
- name: RETAIN_S3_BUCKET
  value: {{ .Values.objectStore.bucket | quote }}
- name: AWS_REGION
  value: {{ .Values.objectStore.region | quote }}
- name: AWS_ACCESS_KEY_ID
  valueFrom: {secretKeyRef: {name: {{ include "retain.storeSecret" . }}, key: access-key}}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ include "retain.storeSecret" . }}, key: secret-key}}
{{- end }}

{{- define "retain.env.ray" -}}
- name: RAY_AUTH_MODE
  value: token
- name: RAY_AUTH_TOKEN
  valueFrom: {secretKeyRef: {name: {{ include "retain.raySecret" . }}, key: auth_token}}
- name: RAY_DISABLE_USAGE_STATS
  value: "1"
{{- end }}

{{/* Settings of a persistent volume claim: (list size storageClass). */}}
{{- define "retain.claim" -}}
accessModes: [ReadWriteOnce]
{{- with index . 1 }}
storageClassName: {{ . | quote }}
{{- end }}
resources: {requests: {storage: {{ index . 0 }}}}
{{- end }}

{{/* Bytes that one slot of a Ray worker may take: the limit of its memory, in any unit of Kubernetes, divided by its
     CPUs; 0 without a limit. */}}
{{- define "retain.slotMemory" -}}
{{- $limit := dig "limits" "memory" "" (.resources | default dict) | toString -}}
{{- $units := dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $number := regexFind "^[0-9.]+" $limit -}}
{{- $unit := get $units (trimPrefix $number $limit) -}}
{{- if and $number $unit -}}
{{- divf (mulf (float64 $number) (float64 $unit)) (float64 (max 1 (int .cpus))) | floor | int64 -}}
{{- else -}}0{{- end -}}
{{- end -}}
