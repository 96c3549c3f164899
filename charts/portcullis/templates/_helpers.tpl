{{/* The name that all names start with. */}}
{{- define "portcullis.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | replace "." "-" | trunc 52 | trimSuffix "-" -}}
{{- else if regexMatch "^[0-9]" .Release.Name -}}
{{- /* A Service is called by its name, which starts with a letter. */ -}}
{{- printf "%s-%s" .Chart.Name .Release.Name | replace "." "-" | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | replace "." "-" | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What finds the pods; never changes. */}}
{{- define "portcullis.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | toYaml }}
{{- end -}}

{{- define "portcullis.labels" -}}
{{ include "portcullis.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: admission-webhook
app.kubernetes.io/part-of: {{ .Chart.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Of what the server writes into: it says that this is its own. */}}
{{- define "portcullis.labelsOfWritten" -}}
{{- include "portcullis.labels" . | replace (printf "managed-by: %s" .Release.Service) "managed-by: portcullis" -}}
{{- end -}}

{{/* The name of what is the cluster's: webhook configurations and roles. As no namespace and no Service
     has a dot in its name, no other release has it. */}}
{{- define "portcullis.clusterName" -}}
{{- printf "%s.%s" (include "portcullis.fullname" .) .Release.Namespace -}}
{{- end -}}

{{/* Where reports of scans are written to. Once chosen the server keeps to it, for which it has the right. */}}
{{- define "portcullis.reports" -}}
{{- if ne .Values.audit.reports "auto" -}}
{{- .Values.audit.reports -}}
{{- else if .Capabilities.APIVersions.Has "openreports.io/v1alpha1" -}}
openreports.io
{{- else if .Capabilities.APIVersions.Has "wgpolicyk8s.io/v1alpha2" -}}
wgpolicyk8s.io
{{- else -}}
openreports.io
{{- end -}}
{{- end -}}

{{/* Says whether the server registers itself. */}}
{{- define "portcullis.registers" -}}
{{- if eq .Values.webhooks.registration "server" -}}
true
{{- else if eq .Values.certificates.mode "self" -}}
{{- fail "webhooks.registration: with certificates.mode=self the server registers itself" -}}
{{- end -}}
{{- end -}}

{{- define "portcullis.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "portcullis.fullname" .) -}}
{{- end -}}

{{- define "portcullis.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* The Secret with tls.crt and tls.key, unless the replicas make their own. */}}
{{- define "portcullis.certificateSecret" -}}
{{- if eq .Values.certificates.mode "certManager" -}}
{{- printf "%s-tls" (include "portcullis.fullname" .) -}}
{{- else -}}
{{- required "certificates.mounted.secretName: name the Secret with tls.crt and tls.key" .Values.certificates.mounted.secretName -}}
{{- end -}}
{{- end -}}

{{/* Says whether the chart makes a ConfigMap for policies. If all are in the cluster it is empty: without any
     path the built-in ones were in force. */}}
{{- define "portcullis.makesPolicies" -}}
{{- $given := .Values.policies -}}
{{- if $given.files -}}
true
{{- else if not (or $given.builtIn $given.configMaps) -}}
{{- if not (or $given.namespace (eq $given.cluster "labelled")) -}}
{{- fail "policies: builtIn is false, and there is nothing in files or configMaps, no namespace with policies, and cluster is not labelled" -}}
{{- end -}}
true
{{- end -}}
{{- end -}}

{{/* ConfigMaps with policies: the chart's own and others. */}}
{{- define "portcullis.policyConfigMaps" -}}
{{- $names := .Values.policies.configMaps -}}
{{- if include "portcullis.makesPolicies" . -}}
{{- $names = prepend $names (printf "%s-policies" (include "portcullis.fullname" .)) -}}
{{- end -}}
{{- toJson $names -}}
{{- end -}}

{{/* The configuration of the program. */}}
{{- define "portcullis.configuration" -}}
{{- $maps := include "portcullis.policyConfigMaps" . | fromJsonArray -}}
listen: ":8443"
adminListen: ":9090"
{{- if ne .Values.certificates.mode "self" }}
certs: /etc/portcullis/certs
{{- end }}
mode: {{ .Values.mode }}
profile: {{ .Values.profile }}
{{- if or $maps (not .Values.policies.builtIn) }}
policies:
  {{- if .Values.policies.builtIn }}
  - /usr/share/portcullis/policies
  {{- end }}
  {{- range $maps }}
  - /etc/portcullis/policies/{{ . }}
  {{- end }}
{{- end }}
{{- with .Values.policies.namespace }}
policyNamespace: {{ . | toYaml }}
{{- end }}
{{- with .Values.policies.exceptionNamespaces }}
exceptionNamespaces: {{ toJson . }}
{{- end }}
{{- if ne .Values.policies.cluster "none" }}
clusterPolicies: {{ .Values.policies.cluster }}
{{- end }}
{{- if eq .Values.webhooks.registration "server" }}
webhooks:
  excludedNamespaces: {{ toJson .Values.webhooks.excludedNamespaces }}
  timeoutSeconds: {{ .Values.webhooks.timeoutSeconds }}
{{- end }}
{{- with .Values.policies.packs }}
packs:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.policies.overrides }}
overrides:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.audit.interval }}
audit:
  interval: {{ . }}
  reports: {{ include "portcullis.reports" $ }}
{{- end }}
{{- if .Values.events }}
events: true
{{- end }}
{{- if not .Values.auditWarnings }}
auditWarnings: false
{{- end }}
{{- if .Values.decisionLog }}
decisionLog: "-"
{{- end }}
{{- with .Values.traces.endpoint }}
traces:
  endpoint: {{ . | quote }}
{{- end }}
log:
  {{- toYaml .Values.log | nindent 2 }}
{{- with .Values.limits }}
{{- if gt (include "portcullis.bytes" (.body | default "16MiB") | int64) (include "portcullis.bytes" (.bodies | default "256MiB") | int64) }}
{{- fail "limits.body: one review may be larger than limits.bodies, all of them together" }}
{{- end }}
limits:
  {{- toYaml . | nindent 2 }}
{{- end }}
shutdown:
  grace: {{ .Values.shutdown.graceSeconds }}s
  drain: {{ .Values.shutdown.drainSeconds }}s
{{- end -}}

{{/* The seconds of a duration such as 1h30m. */}}
{{- define "portcullis.seconds" -}}
{{- $total := 0 -}}
{{- range regexFindAll "[0-9]+[hms]" . -1 -}}
{{- $each := get (dict "h" 3600 "m" 60 "s" 1) (regexFind "[hms]" .) -}}
{{- $total = add $total (mul $each (regexFind "[0-9]+" . | int64)) -}}
{{- end -}}
{{- $total -}}
{{- end -}}

{{/* The bytes of a size such as 16MiB. */}}
{{- define "portcullis.bytes" -}}
{{- $text := toJson . | trimAll `"` -}}
{{- $unit := dict "K" 1024 "M" 1048576 "G" 1073741824 -}}
{{- mul (regexFind "^[0-9]+" $text | int64) (get $unit (regexFind "[KMG]" $text) | default 1) -}}
{{- end -}}

{{/* What no webhook is ever called for, as the server itself registers them. The release's own roles are
     among it: a release that does not answer for want of a right can be given it. */}}
{{- define "portcullis.guards" -}}
no-certificates: request.resource.group != 'certificates.k8s.io'
no-configurations: request.resource.group != 'admissionregistration.k8s.io'
no-events: >-
  !(request.resource.group in ['', 'events.k8s.io'] && request.resource.resource == 'events')
no-leases: request.resource.group != 'coordination.k8s.io'
no-nodes: >-
  !(request.resource.group == '' && request.resource.resource == 'nodes')
  && !(request.resource.group == 'storage.k8s.io' && request.resource.resource == 'csinodes')
no-reviews: "!(request.resource.group in ['authentication.k8s.io', 'authorization.k8s.io'])"
no-tokens: >-
  !(request.resource.group == '' && request.resource.resource == 'serviceaccounts'
  && has(request.subResource) && request.subResource == 'token')
not-the-api-server: "!has(request.userInfo.username) || request.userInfo.username != 'system:apiserver'"
{{- with .Values.policies.namespace }}
not-its-policies: >-
  !(request.resource.group == '' && request.resource.resource == 'configmaps'
  && has(request.namespace) && request.namespace == {{ . | squote }})
{{- end }}
{{- $name := include "portcullis.clusterName" . }}
not-its-roles: >-
  !(request.resource.group == 'rbac.authorization.k8s.io' && has(request.name)
  && request.name in ['{{ $name }}', '{{ $name }}-audit', '{{ $name }}-exceptions', '{{ $name }}-policies']
  && (!has(request.namespace) || request.namespace in [{{ include "portcullis.roleNamespaces" . }}]))
{{- end -}}

{{/* Where the server has roles besides the namespace of the release; those of the whole cluster have none. */}}
{{- define "portcullis.roleNamespaces" -}}
{{- $namespaces := concat (list "" .Values.policies.namespace) .Values.policies.exceptionNamespaces -}}
{{- if eq .Values.policies.cluster "labelled" -}}
{{- $namespaces = append $namespaces "default" -}}
{{- end -}}
{{- $quoted := list -}}
{{- range without $namespaces .Release.Namespace | uniq | sortAlpha -}}
{{- $quoted = append $quoted (squote .) -}}
{{- end -}}
{{- join ", " $quoted -}}
{{- end -}}
