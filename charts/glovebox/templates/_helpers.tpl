{{- define "glovebox.name" -}}
{{- if contains "glovebox" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-glovebox" (.Release.Name | trunc 41 | trimSuffix "-") }}{{ end }}
{{- end }}

{{- define "glovebox.selector" -}}
app.kubernetes.io/name: glovebox
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "glovebox.labels" -}}
{{ include "glovebox.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "glovebox.image" -}}
"{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
{{- end }}

{{- define "glovebox.user" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "glovebox.name" . }}
{{- end }}

{{- define "glovebox.takesKeys" -}}
{{- if ne .Values.auth.kind "jwt" }}yes{{ end }}
{{- end }}

{{- define "glovebox.takesTokens" -}}
{{- if ne .Values.auth.kind "keys" }}yes{{ end }}
{{- end }}

{{- /* Without keys of callers there may still be those of approvers. */ -}}
{{- define "glovebox.keysSecret" -}}
{{- if .Values.keys.existingSecret }}{{ .Values.keys.existingSecret }}{{ else if and .Values.keys.create (include "glovebox.takesKeys" .) }}{{ include "glovebox.name" . }}-keys{{ end }}
{{- end }}

{{- define "glovebox.configMap" -}}
{{ include "glovebox.name" . }}-settings
{{- end }}

{{- /* Whether several control planes may share the sandboxes. */ -}}
{{- define "glovebox.isShared" -}}
{{- if eq (.Values.settings.state | default "directory") "cluster" }}true{{ end }}
{{- end }}

{{- /* Number of control planes: more than one only where each has nothing for itself that must outlive it. */ -}}
{{- define "glovebox.replicas" -}}
{{- $count := int .Values.replicas }}
{{- if gt $count 1 }}
{{- if not (include "glovebox.isShared" .) }}{{ fail "replicas: several servers share their sessions only with settings.state=cluster" }}{{ end }}
{{- if .Values.state.persistent }}{{ fail "replicas: each server needs a state of its own: set state.persistent=false" }}{{ end }}
{{- if and (include "glovebox.takesKeys" .) (not (include "glovebox.keysSecret" .)) }}{{ fail "replicas: each server would make a first key of its own: set keys.create=true, or keys.existingSecret" }}{{ end }}
{{- if and .Values.auditLog.enabled (not .Values.auditLog.toStdout) }}{{ fail "replicas: each server needs an audit log of its own: set auditLog.toStdout=true, and have the logs of pods collected" }}{{ end }}
{{- end }}
{{- $count }}
{{- end }}

{{- /* Cluster-wide names must not be those of another release. */ -}}
{{- define "glovebox.clusterName" -}}
{{ .Release.Namespace }}-{{ include "glovebox.name" . }}
{{- end }}

{{- define "glovebox.allowedHosts" -}}
{{- $name := include "glovebox.name" . }}
{{- $service := list $name (printf "%s.%s" $name .Release.Namespace) (printf "%s.%s.svc" $name .Release.Namespace) (printf "%s.%s.svc.cluster.local" $name .Release.Namespace) }}
{{- $ingress := ternary (list .Values.ingress.host) list .Values.ingress.enabled }}
{{- join "," (concat $service $ingress .Values.allowedHosts) }}
{{- end }}

{{- define "glovebox.publicUrl" -}}
{{- $own := printf "%s://%s" (ternary "https" "http" (ne .Values.ingress.tlsSecret "")) .Values.ingress.host }}
{{- .Values.auth.jwt.publicUrl | default (ternary $own "" .Values.ingress.enabled) | required "auth.jwt.publicUrl is the URL by which clients reach the server; tokens are made for it" }}
{{- end }}

{{- define "glovebox.auditFolder" -}}
{{ ternary "/var/log/glovebox" "/var/lib/glovebox/audit" (or .Values.auditLog.toStdout (ne .Values.auditLog.existingClaim "")) }}
{{- end }}

{{- /* Room for all files of the audit log, and for what goes over the size of one. */ -}}
{{- define "glovebox.auditSize" -}}
{{ mul (add .Values.auditLog.files 2) .Values.auditLog.fileMb }}Mi
{{- end }}

{{- define "glovebox.settings" -}}
{{- $s := .Values.sandboxes }}
{{- $own := dict "engine" "kubernetes" "image" $s.image "kubernetes_namespace" $s.namespace "instance" (include "glovebox.name" .) "auth" .Values.auth.kind "host" "0.0.0.0" "port" 8000 "also_ports" list "setup" "never" "state_dir" "/var/lib/glovebox" "cache_dir" "/var/cache/glovebox" "on_shutdown" (ternary "keep" "remove" .Values.state.persistent) }}
{{- if include "glovebox.isShared" . }}{{ $_ := set $own "peer_port" 8770 }}{{ end }}
{{- with $s.imagePullSecret }}{{ $_ := set $own "kubernetes_pull_secret" . }}{{ end }}
{{- with $s.runtimeClassName }}{{ $_ := set $own "runtime" . }}{{ end }}
{{- $labels := list }}
{{- range $key, $value := $s.nodeSelector }}{{ $labels = append $labels (printf "%s=%s" $key $value) }}{{ end }}
{{- if $labels }}{{ $_ := set $own "kubernetes_node_selector" $labels }}{{ end }}
{{- $taints := list }}
{{- range $s.tolerations }}{{ $taints = append $taints (printf "%s%s:%s" .key (hasKey . "value" | ternary (printf "=%s" (.value | default "")) "") .effect) }}{{ end }}
{{- if $taints }}{{ $_ := set $own "kubernetes_tolerations" $taints }}{{ end }}
{{- if include "glovebox.keysSecret" . }}{{ $_ := set $own "api_keys_file" "/etc/glovebox/keys/keys.json" }}
{{- else if include "glovebox.takesKeys" . }}{{ $_ := set $own "first_key" .Values.keys.owner }}{{ end }}
{{- if include "glovebox.takesTokens" . }}
{{- $_ := set $own "jwt_issuer" .Values.auth.jwt.issuer }}
{{- $_ := set $own "public_url" (include "glovebox.publicUrl" .) }}
{{- $_ := set $own "jwt_owner_claim" .Values.auth.jwt.ownerClaim }}
{{- with .Values.auth.jwt.audience }}{{ $_ := set $own "jwt_audience" . }}{{ end }}
{{- end }}
{{- with .Values.auditLog }}
{{- if .enabled }}
{{- if and .toStdout .existingClaim }}{{ fail "auditLog.toStdout is in place of a volume: leave auditLog.existingClaim out" }}{{ end }}
{{- if not (or .toStdout .existingClaim $.Values.state.persistent) }}{{ fail "auditLog.existingClaim names a volume for the audit log, because state.persistent=false keeps none; or auditLog.toStdout=true prints its lines" }}{{ end }}
{{- $_ := set $own "audit_log" (printf "%s/audit.jsonl" (include "glovebox.auditFolder" $)) }}
{{- $_ := set $own "audit_log_mb" (.fileMb | int) }}
{{- $_ := set $own "audit_log_files" (.files | int) }}
{{- $_ := set $own "audit_log_required" (ternary "yes" "no" .required) }}
{{- if .keySecret }}{{ $_ := set $own "audit_log_key_file" "/etc/glovebox/audit/audit.key" }}{{ end }}
{{- end }}
{{- end }}
{{- with .Values.archives }}
{{- if .bucket }}
{{- $_ := set $own "archives" (printf "s3://%s/%s" .bucket .prefix | trimSuffix "/") }}
{{- $_ := set $own "archive_credentials_file" "/etc/glovebox/archives/credentials" }}
{{- end }}
{{- with .endpoint }}{{ $_ := set $own "archive_endpoint" . }}{{ end }}
{{- with .region }}{{ $_ := set $own "archive_region" . }}{{ end }}
{{- if .keySecret }}{{ $_ := set $own "archive_key_file" "/etc/glovebox/archive-key/archives.key" }}{{ end }}
{{- end }}
{{- if .Values.secrets.existingSecret }}{{ $_ := set $own "secrets_file" "/etc/glovebox/secrets-file/secrets.json" }}{{ end }}
{{- if .Values.secretsKeySecret }}{{ $_ := set $own "secrets_key_file" "/etc/glovebox/secrets/secrets.key" }}{{ end }}
{{- $decided := concat (keys $own) (list "allowed_hosts" "api_keys_file" "archive_credentials_file" "archive_endpoint" "archive_key_file" "archive_region" "audit_log" "audit_log_files" "audit_log_key_file" "audit_log_mb" "audit_log_required" "first_key" "jwt_audience" "jwt_issuer" "jwt_owner_claim" "keep_while" "kubernetes_context" "kubernetes_node_selector" "kubernetes_pull_secret" "kubernetes_tolerations" "peer_address" "peer_port" "public_url" "runtime" "secrets_file" "secrets_key_file") }}
{{- range $name, $value := .Values.settings }}
{{- if has $name $decided }}{{ fail (printf "settings.%s: the chart decides that, by another value: see docs/kubernetes.md" $name) }}{{ end }}
{{- end }}
{{- $said := .Values.settings.archives | default "" }}
{{- if not (has $said (list "" "directory")) }}{{ fail "settings.archives: name the bucket by archives.bucket" }}{{ end }}
{{- if and (include "glovebox.isShared" .) (not (or .Values.archives.bucket $said)) }}{{ fail "archives.bucket: with settings.state=cluster, name a bucket that all servers see, or say settings.archives=directory if files of sessions may be lost with a server" }}{{ end }}
{{- mergeOverwrite (deepCopy .Values.settings) $own | toPrettyJson }}
{{- end }}
