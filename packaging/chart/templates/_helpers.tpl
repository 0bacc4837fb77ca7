{{/* The name of all objects. It is fixed, because a cluster has one release of this chart and programs find objects by name. */}}
{{- define "acr.name" -}}aliyun-acr-credential-provider{{- end -}}

{{/* The labels by which selectors find the Pods of a component: (list . "node"). They never change. */}}
{{- define "acr.selector" -}}
app.kubernetes.io/name: {{ include "acr.name" (first .) }}
app.kubernetes.io/component: {{ last . }}
{{- end -}}

{{/* The labels of a component's Pods: (list . "node" .Values.plugin.podLabels). */}}
{{- define "acr.podLabels" -}}
{{- $root := index . 0 -}}
{{- include "acr.selector" (list $root (index . 1)) }}
app.kubernetes.io/part-of: {{ include "acr.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service | quote }}
{{- with merge (dict) ((index . 2) | default dict) ($root.Values.commonLabels | default dict) }}
{{ toYaml . }}
{{- end -}}
{{- end -}}

{{/* The labels of a component's objects: (list . "node"), and perhaps more labels. */}}
{{- define "acr.labels" -}}
{{- include "acr.podLabels" (append . dict) }}
helm.sh/chart: {{ printf "%s-%s" (include "acr.name" (first .)) (first .).Chart.Version | replace "+" "_" | trunc 63 | quote }}
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
{{- range ((.Values.plugin.settings | default dict).registries | default list) -}}
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
  - name: {{ . | quote }}
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

{{/* The reporter's ServiceAccount. */}}
{{- define "acr.reporter" -}}
{{- .Values.plugin.serviceAccount.name | default (include "acr.name" .) -}}
{{- end -}}

{{/* The pull-secrets controller's ServiceAccount. */}}
{{- define "acr.controller" -}}
{{- .Values.pullSecrets.serviceAccount.name | default (printf "%s-pull-secrets" (include "acr.name" .)) -}}
{{- end -}}

{{/* The ConfigMap that the controller works by, as NAMESPACE/NAME. */}}
{{- define "acr.configMap" -}}
{{- if .Values.pullSecrets.settings -}}
{{- printf "%s/%s-pull-secrets-settings" .Release.Namespace (include "acr.name" .) -}}
{{- else -}}
{{- .Values.pullSecrets.configMap | default "kube-system/acr-configuration" -}}
{{- end -}}
{{- end -}}

{{/* The right to read that ConfigMap. */}}
{{- define "acr.configMapRule" -}}
- apiGroups: [""]
  resources: [configmaps]
  verbs: [list, watch]
  resourceNames: [{{ include "acr.configMap" . | splitList "/" | last | quote }}]
{{- end -}}

{{/* A settings file in a ConfigMap: its text. */}}
{{- define "acr.settings" -}}
{{- merge (dict "apiVersion" "aliyun-acr-credential-provider/v1" "kind" "ProviderSettings") . | toYaml -}}
{{- end -}}

{{/* The DaemonSet's affinity: the operator's, and in each of its terms that virtual nodes (ECI) are out of question. */}}
{{- define "acr.affinity" -}}
{{- $affinity := deepCopy (.Values.plugin.affinity | default dict) -}}
{{- $node := $affinity.nodeAffinity | default dict -}}
{{- $required := $node.requiredDuringSchedulingIgnoredDuringExecution | default (dict "nodeSelectorTerms" (list (dict))) -}}
{{- $terms := list -}}
{{- range $required.nodeSelectorTerms -}}
{{- $rule := dict "key" "type" "operator" "NotIn" "values" (list "virtual-kubelet") -}}
{{- $terms = append $terms (merge (dict "matchExpressions" (append (.matchExpressions | default list) $rule)) .) -}}
{{- end -}}
{{- $_ := set $node "requiredDuringSchedulingIgnoredDuringExecution" (dict "nodeSelectorTerms" $terms) -}}
{{- set $affinity "nodeAffinity" $node | toYaml -}}
{{- end -}}

{{/* A quantity as a number; the schema has judged its form. */}}
{{- define "acr.quantity" -}}
{{- if kindIs "string" . -}}
{{- $unit := regexFind "[A-Za-z]*$" . -}}
{{- $units := dict "" 1 "m" 0.001 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- mulf (trimSuffix $unit .) (get $units $unit) -}}
{{- else -}}
{{- float64 . -}}
{{- end -}}
{{- end -}}

{{/* Requests and limits: (list .Values.plugin.agentResources "plugin.agentResources"). */}}
{{- define "acr.resources" -}}
{{- $resources := first . -}}
{{- range $name, $least := $resources.requests -}}
{{- $most := get ($resources.limits | default dict) $name -}}
{{- if and $most (gt (include "acr.quantity" $least | float64) (include "acr.quantity" $most | float64)) -}}
{{- fail (printf "%s: the request of %s is above its limit: %v, %v" (last $) $name $least $most) -}}
{{- end -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{/* Fails if two items of a list have the same key: (list .Values.plugin.extraEnv "name" "plugin.extraEnv"). */}}
{{- define "acr.unique" -}}
{{- $seen := list -}}
{{- range index . 0 -}}
{{- $key := get . (index $ 1) -}}
{{- if has $key $seen -}}
{{- fail (printf "%s: %s is there twice" (index $ 2) $key) -}}
{{- end -}}
{{- $seen = append $seen $key -}}
{{- end -}}
{{- end -}}

{{/* Fails if the extra variables, volumes and mounts of a component do not fit together: (list .Values.plugin "plugin" PATHS),
     with the paths that are mounted anyway. */}}
{{- define "acr.extras" -}}
{{- $values := index . 0 -}}
{{- $at := index . 1 -}}
{{- include "acr.unique" (list $values.extraEnv "name" (printf "%s.extraEnv" $at)) -}}
{{- include "acr.unique" (list $values.extraVolumes "name" (printf "%s.extraVolumes" $at)) -}}
{{- include "acr.unique" (list $values.extraVolumeMounts "mountPath" (printf "%s.extraVolumeMounts" $at)) -}}
{{- $names := list -}}
{{- range $values.extraVolumes }}{{- $names = append $names .name }}{{- end -}}
{{- range $values.extraVolumeMounts -}}
{{- if not (has .name $names) -}}
{{- fail (printf "%s.extraVolumeMounts: %s is none of %s.extraVolumes" $at .name $at) -}}
{{- end -}}
{{- if has .mountPath (index $ 2) -}}
{{- fail (printf "%s.extraVolumeMounts: %s has a mount already" $at .mountPath) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The rules of egress that both NetworkPolicies have for DNS. */}}
{{- define "acr.dns" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
    - {port: 5353, protocol: UDP}  # OpenShift's DNS Pods, behind their Service
    - {port: 5353, protocol: TCP}
{{- end -}}

{{/* "true" if a container's securityContext has an appArmorProfile; an annotation says the same to older ones. */}}
{{- define "acr.knowsAppArmor" -}}
{{- if semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version -}}true{{- end -}}
{{- end -}}

{{/* "true" if the API server supports ValidatingAdmissionPolicies. */}}
{{- define "acr.knowsPolicies" -}}
{{- if semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version -}}true{{- end -}}
{{- end -}}

{{/* The name of the controller's Secrets in namespaces. */}}
{{- define "acr.secretName" -}}
{{- dig "pullSecrets" "secretName" "acr-credential-aliyun" (.Values.pullSecrets.settings | default dict) -}}
{{- end -}}

{{/* "true" if the release has a MutatingAdmissionPolicy: the API server supports it, and the operator wants it. */}}
{{- define "acr.admissionPolicy" -}}
{{- if and .Values.pullSecrets.admissionPolicy.enabled (semverCompare ">=1.36-0" .Capabilities.KubeVersion.Version) -}}true{{- end -}}
{{- end -}}

{{/* "true" if the controller needs the rights for the webhook: the settings ask for it and no policy takes its place, or the
     operator says that an acr-configuration does. */}}
{{- define "acr.webhook" -}}
{{- $mode := dig "pullSecrets" "admission" "mode" "none" (.Values.pullSecrets.settings | default dict) -}}
{{- if or .Values.pullSecrets.webhook.enabled (eq $mode "webhook") (and (eq $mode "auto") (not (include "acr.admissionPolicy" .))) -}}true{{- end -}}
{{- end -}}
