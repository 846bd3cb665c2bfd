{{/* The name of the chart, as a label. */}}
{{- define "replica-count-manager.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The name of the objects. It has at most 63 characters, because the name of a Service is a DNS label. */}}
{{- define "replica-count-manager.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $fullname := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- default $fullname .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The namespace of the objects. */}}
{{- define "replica-count-manager.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{/* The name of objects outside of the release's namespace. Releases in other namespaces may have the same name. */}}
{{- define "replica-count-manager.globalName" -}}
{{- printf "%s-%s" (include "replica-count-manager.namespace" .) (include "replica-count-manager.fullname" .) }}
{{- end }}

{{/* The labels for selectors. They never change. */}}
{{- define "replica-count-manager.selectorLabels" -}}
app.kubernetes.io/name: {{ include "replica-count-manager.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: server
{{- end }}

{{/* The labels of every object. */}}
{{- define "replica-count-manager.labels" -}}
{{ include "replica-count-manager.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" | quote }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The annotations of an object, with their key, in its metadata. */}}
{{- define "replica-count-manager.annotations" -}}
{{- include "replica-count-manager.annotationsWith" (list . dict) }}
{{- end }}

{{/* The same with further ones: a list of the context and their map. */}}
{{- define "replica-count-manager.annotationsWith" -}}
{{- with mergeOverwrite (dict) (default dict (first .).Values.commonAnnotations) (default dict (last .)) }}
  annotations:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- end }}

{{/* The name of the image. The registry that a parent chart gives to all its charts replaces that of the name. */}}
{{- define "replica-count-manager.repository" -}}
{{- $repository := .Values.image.repository }}
{{- with .Values.global }}
{{- with .imageRegistry }}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) (regexReplaceAll "^([^/]*[.:][^/]*|localhost)/" $repository "") }}
{{- end }}
{{- end }}
{{- $repository }}
{{- end }}

{{/* The Secrets with credentials for the registry: those that a parent chart gives to all its charts, as names or as
[{name: …}], and the chart's own. */}}
{{- define "replica-count-manager.imagePullSecrets" -}}
{{- $secrets := list }}
{{- range concat (dig "imagePullSecrets" list (default dict .Values.global) | default list) (default list .Values.imagePullSecrets) }}
{{- $name := . }}
{{- if kindIs "map" . }}
{{- $name = .name }}
{{- end }}
{{- $secrets = append $secrets (dict "name" $name) }}
{{- end }}
{{- with uniq $secrets }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{/* The image. A digest takes precedence, and a tag beside it is only for people. */}}
{{- define "replica-count-manager.image" -}}
{{- with .Values.image }}
{{- $tag := empty .digest | ternary (default $.Chart.AppVersion .tag) .tag }}
{{- include "replica-count-manager.repository" $ }}{{ with $tag }}:{{ . }}{{ end }}{{ with .digest }}@{{ . }}{{ end }}
{{- end }}
{{- end }}

{{/* The name of the ServiceAccount. */}}
{{- define "replica-count-manager.serviceAccountName" -}}
{{- $name := .Values.serviceAccount.create | ternary (include "replica-count-manager.fullname" .) "default" }}
{{- default $name .Values.serviceAccount.name }}
{{- end }}

{{/* The user name of the ServiceAccount. */}}
{{- define "replica-count-manager.account" -}}
system:serviceaccount:{{ include "replica-count-manager.namespace" . }}:{{ include "replica-count-manager.serviceAccountName" . }}
{{- end }}

{{/* The mode of the webhooks. YAML 1.1, which Helm reads, takes an unquoted off for false. */}}
{{- define "replica-count-manager.admissionMode" -}}
{{- default "off" .Values.admission.mode }}
{{- end }}

{{/* The name of two objects: the Service of the webhooks, and its EndpointSlice, which the leader writes. */}}
{{- define "replica-count-manager.admissionName" -}}
{{- include "replica-count-manager.fullname" . | trunc 53 | trimSuffix "-" }}-admission
{{- end }}

{{/* The name of the webhooks' configurations. */}}
{{- define "replica-count-manager.admissionConfiguration" -}}
{{- include "replica-count-manager.globalName" . }}-admission
{{- end }}

{{/* Whether the release contains the fence. Empty means no. */}}
{{- define "replica-count-manager.fence" -}}
{{- $publishes := ne (include "replica-count-manager.admissionMode" .) "off" }}
{{- $wide := or (eq .Values.ownership "giveBack") (include "replica-count-manager.managesCa" .) $publishes }}
{{- $needed := and (not .Values.namespace) $wide }}
{{- if kindIs "invalid" .Values.fence.enabled | ternary $needed .Values.fence.enabled }}true{{ end }}
{{- end }}

{{/* The Lease by which the pods elect the leader. */}}
{{- define "replica-count-manager.leaseName" -}}
{{- include "replica-count-manager.fullname" . }}
{{- end }}

{{/* The source of the certificates: managed, certManager or existingSecret. */}}
{{- define "replica-count-manager.certificatesMode" -}}
{{- $default := empty .Values.certificates.existingSecret | ternary "managed" "existingSecret" }}
{{- default $default .Values.certificates.mode }}
{{- end }}

{{/* The name of two objects: the Secret of the managed CA, and the ConfigMap with its certificate. */}}
{{- define "replica-count-manager.caName" -}}
{{- include "replica-count-manager.fullname" . | trunc 60 | trimSuffix "-" }}-ca
{{- end }}

{{/* Whether the server keeps a CA. Empty means no. With cert-manager, it keeps one for clients if it can sign. */}}
{{- define "replica-count-manager.managesCa" -}}
{{- $mode := include "replica-count-manager.certificatesMode" . }}
{{- $signs := and .Values.certificates.clients.enabled (not .Values.namespace) (not .Values.certificates.clients.caSecret) }}
{{- if or (eq $mode "managed") (and (eq $mode "certManager") $signs) }}true{{ end }}
{{- end }}

{{/* The name of two objects of the CA that the server keeps: its Secret, and the ConfigMap with the certificate that
clients need. With cert-manager, the name above is that of the server's own CA. */}}
{{- define "replica-count-manager.managedCaName" -}}
{{- if eq (include "replica-count-manager.certificatesMode" .) "managed" }}
{{- include "replica-count-manager.caName" . }}
{{- else }}
{{- include "replica-count-manager.fullname" . | trunc 52 | trimSuffix "-" }}-clients-ca
{{- end }}
{{- end }}

{{/* The ConfigMap with the settings about clients that change without a restart. */}}
{{- define "replica-count-manager.clientsName" -}}
{{- include "replica-count-manager.fullname" . | trunc 55 | trimSuffix "-" }}-clients
{{- end }}

{{/* The reserved names that are believed from a CA that the server does not keep. The one of an existing Secret is made
for the server, and may name its administrators. */}}
{{- define "replica-count-manager.reservedNames" -}}
{{- $clients := .Values.certificates.clients }}
{{- $own := and (eq (include "replica-count-manager.certificatesMode" .) "existingSecret") (not $clients.caSecret) }}
{{- concat (default list $clients.reservedNames) ($own | ternary (list "replica-count-manager:admins") list) | uniq | join "," }}
{{- end }}

{{/* The Secret with the certificate of `helm test`, if the server keeps a CA. */}}
{{- define "replica-count-manager.checkName" -}}
{{- include "replica-count-manager.fullname" . | trunc 57 | trimSuffix "-" }}-check
{{- end }}

{{/* The names in the server's certificate. */}}
{{- define "replica-count-manager.serverNames" -}}
{{- $service := include "replica-count-manager.fullname" . }}
{{- $names := list (printf "%s.%s.svc" $service (include "replica-count-manager.namespace" .)) (printf "%s.%s" $service (include "replica-count-manager.namespace" .)) $service "localhost" }}
{{- if ne (include "replica-count-manager.admissionMode" .) "off" }}
{{- /* The name by which the API server calls the webhooks. */}}
{{- $names = append $names (printf "%s.%s.svc" (include "replica-count-manager.admissionName" .) (include "replica-count-manager.namespace" .)) }}
{{- end }}
{{- concat $names (default list .Values.certificates.dnsNames) | uniq | join "," }}
{{- end }}

{{/* Whether the server signs client certificates. Empty means no. CertificateSigningRequests are cluster-scoped. */}}
{{- define "replica-count-manager.signsClients" -}}
{{- if and .Values.certificates.clients.enabled (not .Values.namespace) (include "replica-count-manager.managesCa" .) }}true{{ end }}
{{- end }}

{{/* The labels of the objects that the server makes, as its setting. Their managed-by is not Helm, which does not know
them. */}}
{{- define "replica-count-manager.objectLabels" -}}
app.kubernetes.io/name={{ include "replica-count-manager.name" . }},app.kubernetes.io/instance={{ .Release.Name }},app.kubernetes.io/managed-by=replica-count-manager
{{- end }}

{{/* The Secret with the mounted certificates. Fails with instructions if none is set. */}}
{{- define "replica-count-manager.certificatesSecret" -}}
{{- if eq (include "replica-count-manager.certificatesMode" .) "certManager" }}
{{- include "replica-count-manager.fullname" . | trunc 59 | trimSuffix "-" }}-tls
{{- else if .Values.certificates.existingSecret }}
{{- .Values.certificates.existingSecret }}
{{- else }}
{{- fail (printf `certificates.existingSecret: certificates.mode is existingSecret, so set this to the name of a
Secret in the namespace %s with tls.crt, tls.key and ca.crt. To make the certificates, run this command in the
project's folder. It prints the command that creates the Secret:

    cargo run --quiet -p certificates -- --namespace %s --service %s

Or leave certificates.mode empty. Then the server manages its certificates itself.
` (include "replica-count-manager.namespace" .) (include "replica-count-manager.namespace" .) (include "replica-count-manager.fullname" .)) }}
{{- end }}
{{- end }}

{{/* The stem of the keys in the Secret: tls or server. Without the value certificates.keys, it is found in the Secret.
`helm template` and GitOps tools cannot read the Secret, so without the value it is tls there. */}}
{{- define "replica-count-manager.certificatesKeys" -}}
{{- $secret := lookup "v1" "Secret" (include "replica-count-manager.namespace" .) (include "replica-count-manager.certificatesSecret" .) }}
{{- $data := dig "data" (dict) $secret }}
{{- $found := and (hasKey $data "server.crt") (not (hasKey $data "tls.crt")) | ternary "server" "tls" }}
{{- default $found .Values.certificates.keys }}
{{- end }}

{{/* The DNS settings of a pod. */}}
{{- define "replica-count-manager.dns" -}}
{{- with .Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The name of the port of /metrics. */}}
{{- define "replica-count-manager.metricsPort" -}}
{{- .Values.metrics.secure | ternary "https-metrics" "http" }}
{{- end }}

{{/* The TLS settings of Prometheus: the name of the Service, and the CA of the server's certificate. `helm test` trusts the
same CA. */}}
{{- define "replica-count-manager.metricsTls" -}}
{{- with .Values.metrics.tlsConfig }}
{{- toYaml . }}
{{- else -}}
serverName: {{ include "replica-count-manager.fullname" . }}.{{ include "replica-count-manager.namespace" . }}.svc
ca:
{{- if eq (include "replica-count-manager.certificatesMode" .) "managed" }}
  configMap:
    name: {{ include "replica-count-manager.managedCaName" . | quote }}
{{- else }}
  secret:
    name: {{ include "replica-count-manager.certificatesSecret" . | quote }}
{{- end }}
    key: ca.crt
{{- end }}
{{- end }}

{{/* The endpoint of a PodMonitor or ServiceMonitor: a list of the context, its values, and whether it is a ServiceMonitor.
Only those can show the token of Prometheus' own service account. */}}
{{- define "replica-count-manager.endpoint" -}}
{{- $context := index . 0 }}
{{- $isService := index . 2 }}
{{- with index . 1 -}}
port: {{ include "replica-count-manager.metricsPort" $context }}
path: /metrics
{{- if $context.Values.metrics.secure }}
scheme: https
{{- if $context.Values.metrics.authorization }}
authorization:
  {{- toYaml $context.Values.metrics.authorization | nindent 2 }}
{{- else if $isService }}
bearerTokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token
{{- end }}
tlsConfig:
  {{- include "replica-count-manager.metricsTls" $context | nindent 2 }}
{{- end }}
{{- with .interval }}
interval: {{ . | quote }}
{{- end }}
{{- with .relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/* The other releases that manage the same single namespace, by the bindings of their servers. Empty means none. A server
of all namespaces reports such releases itself (server/src/leader/others.rs). Without a cluster, as for `helm template`,
none are found. */}}
{{- define "replica-count-manager.others" -}}
{{- $names := list }}
{{- if and .Values.namespace .Values.rbac.create }}
{{- range (lookup "rbac.authorization.k8s.io/v1" "RoleBinding" .Values.namespace "").items }}
{{- $chart := dig "labels" "helm.sh/chart" "" .metadata }}
{{- $release := printf "%s/%s" (dig "annotations" "meta.helm.sh/release-namespace" "" .metadata) (dig "annotations" "meta.helm.sh/release-name" "" .metadata) }}
{{- $isServer := not (regexMatch "-(leader|connect|certificates|viewers|editors|admins)$" .metadata.name) }}
{{- if and (hasPrefix "replica-count-manager-" $chart) $isServer (ne $release (printf "%s/%s" (get $.Release "Namespace") $.Release.Name)) }}
{{- $names = append $names $release }}
{{- end }}
{{- end }}
{{- end }}
{{- $names | uniq | join ", " }}
{{- end }}

{{/* The environment variables of the server that the chart sets. */}}
{{- define "replica-count-manager.env" -}}
- name: GRPC_ADDRESS
  value: "[::]:8080"
- name: HTTP_ADDRESS
  value: "[::]:8081"
{{- if .Values.metrics.secure }}
- name: METRICS_ADDRESS
  value: "[::]:8082"
{{- end }}
- name: NAMESPACE
  value: {{ .Values.namespace | quote }}
- name: OWNERSHIP
  value: {{ .Values.ownership | quote }}
- name: LOG_LEVEL
  value: {{ .Values.logLevel | quote }}
- name: LOG_FORMAT
  value: {{ .Values.logFormat | quote }}
- name: LEASE
  value: {{ include "replica-count-manager.leaseName" . | quote }}
- name: OBJECT_LABELS
  value: {{ include "replica-count-manager.objectLabels" . | quote }}
{{- range $name, $field := dict "POD_NAME" "name" "POD_NAMESPACE" "namespace" "POD_UID" "uid" }}
- name: {{ $name | quote }}
  valueFrom:
    fieldRef:
      fieldPath: metadata.{{ $field }}
{{- end }}
{{- if eq (include "replica-count-manager.certificatesMode" .) "managed" }}
- name: CERTIFICATES
  value: managed
- name: SERVER_NAMES
  value: {{ include "replica-count-manager.serverNames" . | quote }}
{{- else }}
- name: CERT_FILE
  value: /etc/replica-count-manager/tls/tls.crt
- name: KEY_FILE
  value: /etc/replica-count-manager/tls/tls.key
- name: CA_CERT_FILE
  value: /etc/replica-count-manager/tls/ca.crt
{{- end }}
{{- if include "replica-count-manager.managesCa" . }}
- name: CLIENT_CA
  value: managed
- name: CA_SECRET
  value: {{ include "replica-count-manager.managedCaName" . | quote }}
- name: CHECK_SECRET
  value: {{ include "replica-count-manager.checkName" . | quote }}
{{- else }}
- name: RESERVED_NAMES
  value: {{ include "replica-count-manager.reservedNames" . | quote }}
{{- end }}
{{- if include "replica-count-manager.signsClients" . }}
- name: SIGN_CLIENTS
  value: "true"
- name: APPROVE_CLIENTS
  value: {{ .Values.certificates.clients.autoApprove | quote }}
- name: CLIENT_HOURS
  value: {{ .Values.certificates.clients.maxHours | int64 | quote }}
{{- end }}
- name: CLIENTS_NOT_BEFORE_FILE
  value: /etc/replica-count-manager/clients/notBefore
- name: MAX_REPLICAS
  value: {{ .Values.maxReplicas | int64 | quote }}
{{- if ne (include "replica-count-manager.admissionMode" .) "off" }}
- name: ADMISSION_MODE
  value: {{ include "replica-count-manager.admissionMode" . | quote }}
- name: ADMISSION_USERS
  value: {{ default "name" .Values.admission.users | quote }}
- name: ADMISSION_ADDRESS
  value: "[::]:8443"
- name: ADMISSION_SERVICE
  value: {{ include "replica-count-manager.admissionName" . | quote }}
- name: ADMISSION_CONFIGURATION
  value: {{ include "replica-count-manager.admissionConfiguration" . | quote }}
- name: ADMISSION_ACCOUNT
  value: {{ include "replica-count-manager.account" . | quote }}
{{- with .Values.admission.exemptGroups }}
- name: ADMISSION_EXEMPT_GROUPS
  value: {{ join "\n" . | quote }}
{{- end }}
- name: POD_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
{{- end }}
{{- end }}
