{{/* The name of all objects. It is fixed, because a cluster has one release of this chart and programs find objects by name. */}}
{{- define "acr.name" -}}aliyun-acr-credential-provider{{- end -}}

{{- define "acr.labels" -}}
app.kubernetes.io/name: {{ include "acr.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "acr.image" -}}
{{- $repository := required "image.repository is needed: push the image that `make image` builds to a registry that nodes can pull from without this plugin, and name it" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* "true" for an image host that matches the plugin's patterns: a node would need the plugin to pull the plugin. The agent
     checks again with its node's patterns; this check fails before anything is applied. */}}
{{- define "acr.needsPlugin" -}}
{{- $host := splitList "/" .Values.image.repository | first -}}
{{- $own := list -}}
{{- $shared := false -}}
{{- range ((.Values.settings | default dict).registries | default list) -}}
{{- $own = concat $own (.domains | default list) -}}
{{- $shared = or $shared (not (or .instanceId .domains)) -}}
{{- end -}}
{{- if or (has $host $own) (regexMatch "\\.cr\\.aliyuncs\\.com(:[0-9]+)?$" $host)
    (and $shared (regexMatch "^registry(-vpc|-internal|-intl|-intl-vpc)?\\.[a-z0-9-]+\\.aliyuncs\\.com$" $host)) -}}true{{- end -}}
{{- end -}}

{{- define "acr.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Options of `node install`: those of the platform, then those of the operator. */}}
{{- define "acr.installer" -}}
{{- $words := .Values.plugin.installer -}}
{{- if eq .Values.platform "openshift" -}}
{{- /* The machine config operator owns the kubelet's flags; `node render openshift` writes its MachineConfig. */ -}}
{{- $words = prepend $words "--mode=files-only" -}}
{{- end -}}
{{- range $words }}
- {{ . | quote }}
{{- end -}}
{{- end -}}

{{/* The pull-secrets controller's ServiceAccount. */}}
{{- define "acr.controller" -}}
{{- .Values.pullSecrets.serviceAccountName | default (printf "%s-pull-secrets" (include "acr.name" .)) -}}
{{- end -}}

{{/* "true" if the API server supports ValidatingAdmissionPolicies. */}}
{{- define "acr.knowsPolicies" -}}
{{- if semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version -}}true{{- end -}}
{{- end -}}

{{/* "true" if the controller needs the rights for the webhook: the settings enable it, or the operator says that an
     acr-configuration does. */}}
{{- define "acr.webhook" -}}
{{- if or .Values.pullSecrets.webhook (dig "pullSecrets" "webhook" "enabled" false (.Values.settings | default dict)) -}}true{{- end -}}
{{- end -}}
