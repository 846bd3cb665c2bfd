{{/* The name of the chart, as a label. */}}
{{- define "replica-count-manager.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The name of the objects: 63 characters, as a Service's name is a DNS label. */}}
{{- define "replica-count-manager.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $fullname := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- default $fullname .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The name of objects outside of the release's namespace, where releases of other namespaces may have the same name. */}}
{{- define "replica-count-manager.globalName" -}}
{{- printf "%s-%s" .Release.Namespace (include "replica-count-manager.fullname" .) }}
{{- end }}

{{/* The labels that a selector may use: they never change. */}}
{{- define "replica-count-manager.selectorLabels" -}}
app.kubernetes.io/name: {{ include "replica-count-manager.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end }}

{{/* The labels of every object. */}}
{{- define "replica-count-manager.labels" -}}
{{ include "replica-count-manager.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The image: a digest decides, and a tag beside it is for people. */}}
{{- define "replica-count-manager.image" -}}
{{- with .Values.image }}
{{- $tag := empty .digest | ternary (default $.Chart.AppVersion .tag) .tag }}
{{- .repository }}{{ with $tag }}:{{ . }}{{ end }}{{ with .digest }}@{{ . }}{{ end }}
{{- end }}
{{- end }}

{{/* The name of the ServiceAccount. */}}
{{- define "replica-count-manager.serviceAccountName" -}}
{{- $name := .Values.serviceAccount.create | ternary (include "replica-count-manager.fullname" .) "default" }}
{{- default $name .Values.serviceAccount.name }}
{{- end }}

{{/* Whether there is a fence: empty means no. */}}
{{- define "replica-count-manager.fence" -}}
{{- $wide := or (eq .Values.ownership "giveBack") (eq (include "replica-count-manager.certificatesMode" .) "managed") }}
{{- $needed := and (not .Values.namespace) $wide }}
{{- if kindIs "invalid" .Values.fence.enabled | ternary $needed .Values.fence.enabled }}true{{ end }}
{{- end }}

{{/* The Lease by which the pods elect the one that corrects. */}}
{{- define "replica-count-manager.leaseName" -}}
{{- include "replica-count-manager.fullname" . }}
{{- end }}

{{/* Where the certificates come from: managed, certManager or existingSecret. */}}
{{- define "replica-count-manager.certificatesMode" -}}
{{- $default := empty .Values.certificates.existingSecret | ternary "managed" "existingSecret" }}
{{- default $default .Values.certificates.mode }}
{{- end }}

{{/* The Secret of the managed CA, and the ConfigMap of its certificate. */}}
{{- define "replica-count-manager.caName" -}}
{{- include "replica-count-manager.fullname" . | trunc 60 | trimSuffix "-" }}-ca
{{- end }}

{{/* The Secret of the test's certificate, where certificates are managed. */}}
{{- define "replica-count-manager.checkName" -}}
{{- include "replica-count-manager.fullname" . | trunc 57 | trimSuffix "-" }}-check
{{- end }}

{{/* The names of the server. */}}
{{- define "replica-count-manager.serverNames" -}}
{{- $service := include "replica-count-manager.fullname" . }}
{{- $names := list (printf "%s.%s.svc" $service .Release.Namespace) (printf "%s.%s" $service .Release.Namespace) $service "localhost" }}
{{- concat $names .Values.certificates.dnsNames | uniq | join "," }}
{{- end }}

{{/* Whether the server signs the certificates of clients: empty means no. Requests for them are cluster-scoped. */}}
{{- define "replica-count-manager.signsClients" -}}
{{- if and .Values.certificates.clients.enabled (not .Values.namespace) (eq (include "replica-count-manager.certificatesMode" .) "managed") }}true{{ end }}
{{- end }}

{{/* The Secret with the certificates that are mounted, or what to do about its absence. */}}
{{- define "replica-count-manager.certificatesSecret" -}}
{{- if eq (include "replica-count-manager.certificatesMode" .) "certManager" }}
{{- include "replica-count-manager.fullname" . | trunc 59 | trimSuffix "-" }}-tls
{{- else if .Values.certificates.existingSecret }}
{{- .Values.certificates.existingSecret }}
{{- else }}
{{- fail (printf `

certificates.mode is existingSecret: set certificates.existingSecret to the name of a Secret in the namespace %s
with tls.crt, tls.key and ca.crt. To make the certificates, run this in the project's folder; it prints the
command that makes the Secret:

    cargo run --quiet --example certificates -- --namespace %s --service %s

Or leave certificates.mode empty, and the server manages its certificates itself.
` .Release.Namespace .Release.Namespace (include "replica-count-manager.fullname" .)) }}
{{- end }}
{{- end }}

{{/* The stem of the Secret's keys. `helm template` and GitOps cannot read the Secret: there the value decides. */}}
{{- define "replica-count-manager.certificatesKeys" -}}
{{- $secret := lookup "v1" "Secret" .Release.Namespace (include "replica-count-manager.certificatesSecret" .) }}
{{- $data := dig "data" (dict) $secret }}
{{- $found := and (hasKey $data "server.crt") (not (hasKey $data "tls.crt")) | ternary "server" "tls" }}
{{- default $found .Values.certificates.keys }}
{{- end }}
