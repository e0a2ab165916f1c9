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

{{/* "store", where evaluator and workers hold the store's keys: where it makes narrower ones they hold none. */}}
{{- define "retain.readsStore" -}}
{{- if eq (include "retain.narrowKeys" .) "true" }}[]{{ else }}["store"]{{ end }}
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

{{- define "retain.said.tls" -}}
{{- list .Values.tls.enabled .Values.tls.existingSecrets .Values.tls.certManager.enabled | toJson }}
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

{{/* Secret with the certificate of a holder (orchestrator, evaluator, worker): (list $ "orchestrator") */}}
{{- define "retain.tlsSecret" -}}
{{- $root := index . 0 -}}
{{- default (printf "%s-%s-tls" (include "retain.fullname" $root) (index . 1)) (index $root.Values.tls.existingSecrets (index . 1)) }}
{{- end }}

{{- define "retain.authoritySecret" -}}
{{- printf "%s-authority" (include "retain.fullname" .) }}
{{- end }}

{{/* Names under which a service is reached, as JSON: (list $ "orchestrator"). Loopback is what a port-forward goes to. */}}
{{- define "retain.tls.names" -}}
{{- $root := index . 0 -}}
{{- $name := printf "%s-%s" (include "retain.fullname" $root) (index . 1) -}}
{{- $ns := $root.Release.Namespace -}}
{{- concat (list $name (printf "%s.%s" $name $ns) (printf "%s.%s.svc" $name $ns) (printf "%s.%s.svc.cluster.local" $name $ns) "localhost" "127.0.0.1") $root.Values.tls.extraNames | toJson }}
{{- end }}

{{/* The certificates that nobody has given, and their authority, as JSON for bootstrap. */}}
{{- define "retain.tls.wanted" -}}
{{- $root := . }}
{{- $ours := dict "meta.helm.sh/release-name" .Release.Name "meta.helm.sh/release-namespace" .Release.Namespace }}
{{- $labels := include "retain.labels" (list . "tls") | fromYaml }}
{{- $wanted := list }}
{{- if and .Values.tls.enabled (not .Values.tls.certManager.enabled) }}
{{- range $holder := include "retain.tls.holders" . | fromJsonArray }}
{{- if not (index $root.Values.tls.existingSecrets $holder) }}
{{- $server := ne $holder "worker" }}
{{- $names := $server | ternary (include "retain.tls.names" (list $root $holder) | fromJsonArray) list }}
{{- $asked := dict "authority" (include "retain.authoritySecret" $root) "name" $holder "names" $names "server" $server "days" $root.Values.tls.days "renew_days" $root.Values.tls.renewDays }}
{{- $wanted = append $wanted (dict "name" (include "retain.tlsSecret" (list $root $holder)) "setting" (printf "tls.existingSecrets.%s" $holder) "certificate" $asked "labels" $labels "annotations" $ours) }}
{{- end }}
{{- end }}
{{- if $wanted }}
{{- $authority := dict "name" (include "retain.authoritySecret" .) "authority" (dict "name" (printf "Retain %s/%s" .Release.Namespace .Release.Name)) "labels" $labels "annotations" $ours }}
{{- $wanted = prepend $wanted $authority }}
{{- end }}
{{- end }}
{{- $wanted | toJson }}
{{- end }}

{{/*
"true" where the bundled store speaks TLS: where certificates are made for it. Not by itself beside certificates of yours
alone, or where something of yours stands before it (publicEndpoint), as values of before have it: there objectStore.minio.tls
decides.
*/}}
{{- define "retain.storeTls" -}}
{{- $minio := .Values.objectStore.minio -}}
{{- $given := .Values.tls.existingSecrets -}}
{{- $bundled := and .Values.tls.enabled $minio.enabled (not .Values.objectStore.externalEndpoint) -}}
{{- $made := or .Values.tls.certManager.enabled (and .Values.bootstrap.enabled (not (or $given.orchestrator $given.evaluator $given.worker))) -}}
{{- if not $bundled }}false
{{- else if kindIs "bool" $minio.tls }}{{ $minio.tls }}
{{- else if .Values.objectStore.publicEndpoint }}false
{{- else if or $given.minio $made }}true{{ else }}false{{ end -}}
{{- end }}

{{/* Who holds a certificate, as JSON: those whose holder is called have names of hosts in it. */}}
{{- define "retain.tls.holders" -}}
{{- concat (list "orchestrator" "evaluator" "worker") (eq (include "retain.storeTls" .) "true" | ternary (list "minio") list) | toJson }}
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
{{- concat $wanted (include "retain.tls.wanted" . | fromJsonArray) | toJson }}
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
{{- printf "%s://%s-minio:9000" (eq (include "retain.storeTls" .) "true" | ternary "https" "http") (include "retain.fullname" .) }}
{{- else }}
{{- fail "objectStore: set externalEndpoint (http://host:port) or minio.enabled=true" }}
{{- end }}
{{- end }}

{{/* A head of KubeRay is reached by the service that the operator makes. */}}
{{- define "retain.rayHead" -}}
{{- printf "%s-ray-head%s" (include "retain.fullname" .) (ternary "-svc" "" .Values.ray.kuberay) }}
{{- end }}

{{/* Where the services are: (list $ "port") for people's clients, (list $ "internalPort") for services and workers. */}}
{{- define "retain.env.services" -}}
{{- $root := index . 0 -}}
{{- $port := $root.Values.tls.enabled | ternary (index . 1) "port" -}}
- name: RETAIN_SERVER
  value: {{ printf "%s-orchestrator:%v" (include "retain.fullname" $root) (index $root.Values.orchestrator.service $port) | quote }}
- name: RETAIN_EVALUATOR
  value: {{ printf "%s-evaluator:%v" (include "retain.fullname" $root) (index $root.Values.evaluator.service $port) | quote }}
{{- end }}

{{/* Certificates of a holder, or the word that there are none: (list $ "own"|"trust") */}}
{{- define "retain.env.tls" -}}
{{- if (index . 0).Values.tls.enabled }}
- {name: RETAIN_TLS_CA, value: /tls/ca.crt}
{{- if eq (index . 1) "own" }}
- {name: RETAIN_TLS_CERT, value: /tls/tls.crt}
- {name: RETAIN_TLS_KEY, value: /tls/tls.key}
{{- end }}
{{- else }}
- {name: RETAIN_ALLOW_PLAIN_TEXT, value: "1"}
{{- end }}
{{- end }}

{{- define "retain.mount.tls" -}}
{{- if .Values.tls.enabled }}
- {name: tls, mountPath: /tls, readOnly: true}
{{- end }}
{{- end }}

{{/* The files: (list $ "worker"); with a third word only whom to trust. Kubernetes replaces them when the secret changes. */}}
{{- define "retain.volume.tls" -}}
{{- if (index . 0).Values.tls.enabled }}
- name: tls
  secret:
    secretName: {{ include "retain.tlsSecret" (list (index . 0) (index . 1)) }}
    defaultMode: 288 # 0440
    {{- if gt (len .) 2 }}
    items: [{key: ca.crt, path: ca.crt}]
    {{- end }}
{{- end }}
{{- end }}

{{/* Probes over HTTP: Kubernetes' own gRPC probes know no TLS. */}}
{{- define "retain.probe" -}}
httpGet: {path: {{ . }}, port: metrics}
{{- end }}

{{- define "retain.env.identity" -}}
- name: RETAIN_ADMIN_TOKEN
  valueFrom: {secretKeyRef: {name: {{ include "retain.identitySecret" . }}, key: admin-token}}
- name: RETAIN_SERVICE_TOKEN
  valueFrom: {secretKeyRef: {name: {{ include "retain.identitySecret" . }}, key: service-token}}
{{- end }}

{{/* The identity provider, for the orchestrator, which verifies its tokens. */}}
{{- define "retain.env.oidc" -}}
{{- with .Values.identity.oidc }}
{{- if .issuer }}
{{- if not .audience }}
{{- fail "identity.oidc.audience: got none; expected the client ids that tokens are made for" }}
{{- end }}
- {name: RETAIN_OIDC_ISSUER, value: {{ .issuer | quote }}}
- {name: RETAIN_OIDC_AUDIENCE, value: {{ join "," .audience | quote }}}
{{- with .clientId }}
- {name: RETAIN_OIDC_CLIENT_ID, value: {{ . | quote }}}
{{- end }}
- {name: RETAIN_OIDC_SCOPES, value: {{ .scopes | quote }}}
- {name: RETAIN_OIDC_TOKEN, value: {{ .token | quote }}}
- {name: RETAIN_OIDC_NAME_CLAIM, value: {{ .nameClaim | quote }}}
- {name: RETAIN_OIDC_ROLES_CLAIM, value: {{ .rolesClaim | quote }}}
{{- if .roles }}
{{- $pairs := list }}
{{- range $group, $role := .roles }}
{{- $pairs = append $pairs (printf "%s=%s" $group $role) }}
{{- end }}
- {name: RETAIN_OIDC_ROLES, value: {{ join "," $pairs | quote }}}
{{- end }}
{{- if .projects }}
{{- $pairs := list }}
{{- range $group, $projects := .projects }}
{{- range $projects }}
{{- $pairs = append $pairs (printf "%s=%s" $group .) }}
{{- end }}
{{- end }}
- {name: RETAIN_OIDC_PROJECTS, value: {{ join "," $pairs | quote }}}
{{- end }}
{{- if .caConfigMap }}
- {name: RETAIN_OIDC_CA, value: /etc/retain/oidc/ca.crt}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The same provider, for the panel as a client of it. */}}
{{- define "retain.env.oidcPanel" -}}
{{- $oidc := .Values.identity.oidc }}
{{- if and $oidc.issuer $oidc.panel.clientId }}
{{- $ingress := .Values.ui.ingress }}
{{- $url := $oidc.panel.url }}
{{- if and (not $url) $ingress.enabled $ingress.host }}
{{- $url = printf "%s://%s" (ternary "https" "http" (ne $ingress.tlsSecret "")) $ingress.host }}
{{- end }}
{{- if not $url }}
{{- fail "identity.oidc.panel.url: got none; expected the panel's address as browsers have it, or ui.ingress with a host" }}
{{- end }}
{{- $secret := required "identity.oidc.panel.existingSecret: got none; expected a secret with the keys client-secret and cookie-secret" $oidc.panel.existingSecret }}
- {name: RETAIN_OIDC_ISSUER, value: {{ $oidc.issuer | quote }}}
- {name: RETAIN_OIDC_TOKEN, value: {{ $oidc.token | quote }}}
- {name: RETAIN_PANEL_URL, value: {{ $url | quote }}}
- {name: RETAIN_PANEL_CLIENT_ID, value: {{ $oidc.panel.clientId | quote }}}
- name: RETAIN_PANEL_CLIENT_SECRET
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: client-secret}}
- name: RETAIN_PANEL_COOKIE_SECRET
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: cookie-secret}}
{{- if $oidc.caConfigMap }}
- {name: RETAIN_OIDC_CA, value: /etc/retain/oidc/ca.crt}
{{- end }}
{{- end }}
{{- end }}

{{/* Of the orchestrator's further settings those that workers need, secret ones among them. */}}
{{- define "retain.env.tools" -}}
{{- range .Values.orchestrator.env }}
{{- if regexMatch "^(HF|MLFLOW|WANDB|AWS)_" .name }}
{{ list . | toYaml }}
{{- end }}
{{- end }}
{{- end }}

{{- define "retain.env.bucket" -}}
- name: RETAIN_S3_ENDPOINT
  value: {{ include "retain.storeEndpoint" . | quote }}
- name: RETAIN_S3_BUCKET
  value: {{ .Values.objectStore.bucket | quote }}
- name: AWS_REGION
  value: {{ .Values.objectStore.region | quote }}
{{- if eq (include "retain.storeTls" .) "true" }}
- {name: AWS_CA_BUNDLE, value: /store-tls/ca.crt}
{{- end }}
{{- end }}

{{/* Whom to trust for the bundled store, where it speaks TLS. */}}
{{- define "retain.mount.storeCa" -}}
{{- if eq (include "retain.storeTls" .) "true" }}
- {name: store-tls, mountPath: /store-tls, readOnly: true}
{{- end }}
{{- end }}

{{- define "retain.volume.storeCa" -}}
{{- if eq (include "retain.storeTls" .) "true" }}
- name: store-tls
  secret:
    secretName: {{ include "retain.tlsSecret" (list . "minio") }}
    items: [{key: ca.crt, path: ca.crt}]
{{- end }}
{{- end }}

{{/* "true" where the store makes narrower keys (STS), which end; the bundled MinIO does. */}}
{{- define "retain.narrowKeys" -}}
{{- if kindIs "bool" .Values.objectStore.sts }}{{ .Values.objectStore.sts }}{{ else }}{{ not .Values.objectStore.externalEndpoint }}{{ end }}
{{- end }}

{{/* The orchestrator's alone: evaluator and workers get narrower keys from it. Where the store makes none, they have the
store's keys, too. */}}
{{- define "retain.env.storeKeys" -}}
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
