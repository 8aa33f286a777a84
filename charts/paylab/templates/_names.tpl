{{/*
The name of the release's objects. At most 46 characters: Kubernetes cuts the names of a Deployment's pods after 58 characters, of which a
dash, 10 characters and another dash are not the Deployment's, and then adds 5. The alerts find the pods by these names.
*/}}
{{- define "paylab.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 46 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 46 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 46 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The name of the objects of `helm test`. The name of an experiment has at most 40 characters. */}}
{{- define "paylab.testName" -}}
{{- printf "%s-test" (include "paylab.fullname" . | trunc 35 | trimSuffix "-") -}}
{{- end -}}

{{/* The labels that select the operator's pods. They must never change. */}}
{{- define "paylab.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "paylab.labels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The chart's labels merged with the user's; the chart's take precedence. Arguments: (list . LABELS_OF_THE_USER). */}}
{{- define "paylab.labelsBeside" -}}
{{- toYaml (mergeOverwrite (deepCopy (index . 1)) (include "paylab.labels" (index . 0) | fromYaml)) -}}
{{- end -}}

{{- define "paylab.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "paylab.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* `global.imageRegistry` is for a repository that names no registry itself: whose first part has no dot or colon and is not `localhost`. */}}
{{- define "paylab.image" -}}
{{- $repository := .Values.image.repository -}}
{{- with (default dict .Values.global).imageRegistry -}}
{{- $first := first (splitList "/" $repository) -}}
{{- if not (and (contains "/" $repository) (or (regexMatch "[.:]" $first) (eq $first "localhost"))) -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) $repository -}}
{{- end -}}
{{- end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The names of `imagePullSecrets` and of `global.imagePullSecrets`, as a JSON list, each once. */}}
{{- define "paylab.pullSecretNames" -}}
{{- $names := list -}}
{{- range concat .Values.imagePullSecrets (default list (default dict .Values.global).imagePullSecrets) -}}
{{- $names = append $names (kindIs "string" . | ternary . (dig "name" "" (kindIs "string" . | ternary dict .))) -}}
{{- end -}}
{{- toJson (uniq $names) -}}
{{- end -}}

{{- define "paylab.pullSecrets" -}}
{{- range include "paylab.pullSecretNames" . | fromJsonArray }}
- name: {{ . }}
{{- end -}}
{{- end -}}
