{{/*
The operator's security contexts. `null` becomes an empty one, which leaves all of it to the cluster. Arguments: (list . CONTEXT).
*/}}
{{- define "paylab.securityContext" -}}
{{- $context := deepCopy (default dict (index . 1)) -}}
{{- if (index . 0).Values.openshift -}}
{{- $context = omit $context "runAsUser" "runAsGroup" "fsGroup" "supplementalGroups" -}}
{{- end -}}
{{- toYaml $context -}}
{{- end -}}

{{- define "paylab.podSecurityContext" -}}
{{- include "paylab.securityContext" (list . .Values.podSecurityContext) -}}
{{- end -}}

{{- define "paylab.containerSecurityContext" -}}
{{- include "paylab.securityContext" (list . .Values.containerSecurityContext) -}}
{{- end -}}

{{/* The value `parts` as the operator reads it. Where the chart's user wants no security context, it must not fall back to its own. */}}
{{- define "paylab.parts" -}}
{{- $pod := include "paylab.securityContext" (list . .Values.parts.podSecurityContext) | fromYaml -}}
{{- $container := include "paylab.securityContext" (list . .Values.parts.containerSecurityContext) | fromYaml -}}
{{- $parts := omit .Values.parts "podSecurityContext" "containerSecurityContext" -}}
{{- toJson (merge (dict "podSecurityContext" $pod "containerSecurityContext" $container) $parts) -}}
{{- end -}}
