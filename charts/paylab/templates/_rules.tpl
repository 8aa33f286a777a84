{{/*
What the operator asks of the API server, and no more. It never updates, patches or deletes what runs: an experiment's
parts are made once, and go with it by their owner reference. The subresources `finalizers` are what the API
server's OwnerReferencesPermissionEnforcement asks of whoever sets blockOwnerDeletion.
*/}}
{{- define "paylab.rules" -}}
- apiGroups: [paylab.dev]
  resources: [chaosexperiments]
  verbs: [get, list, watch]
- apiGroups: [paylab.dev]
  resources: [chaosexperiments/status, chaosexperiments/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [create, get, delete]
- apiGroups: [""]
  resources: [configmaps/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [services]
  verbs: [create, get]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
{{- if .Values.networkPolicy.enabled }}
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [create, get]
{{- end }}
- apiGroups: [apps]
  resources: [deployments]
  verbs: [create, get, list, watch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [create, get, list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}
