{{/*
The requests that the operator makes to the API server, and no more. It never changes a part while an
experiment runs: parts are created once, scaled to 0 when a lab is kept, and deleted by Kubernetes through their owner references. The admission plugin
OwnerReferencesPermissionEnforcement demands the right on `finalizers` from every client that sets blockOwnerDeletion.
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
  verbs: [create, get, list, patch, watch]
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [list, watch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [create, get, list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, list]
{{- end -}}
