{{/* The name of the release's objects. At most 50 characters, because some objects add a suffix to it. */}}
{{- define "paylab.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
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

{{- define "paylab.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}
