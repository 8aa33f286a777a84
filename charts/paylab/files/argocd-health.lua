-- The health of a ChaosExperiment for Argo CD, which does not read kstatus. It belongs into the ConfigMap argocd-cm, under the key
-- resource.customizations.health.paylab.dev_ChaosExperiment; docs/kubernetes.md has the command.
--
-- Healthy: it ended as spec.expect says. Degraded: it ended in another way, or without a verdict. Progressing: it has not ended, or no
-- operator has looked at this generation of it.
local status = obj.status or {}
if status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "No operator has looked at this experiment yet." }
end
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local function holds(kind)
  return conditions[kind] ~= nil and conditions[kind].status == "True"
end
if holds("Ready") then
  return { status = "Healthy", message = status.message or "The verdict is the expected one." }
end
if holds("Stalled") then
  return { status = "Degraded", message = status.message or "The experiment has ended without the expected verdict." }
end
local ready = conditions["Ready"] or {}
return { status = "Progressing", message = status.message or ready.message or "The experiment has not ended." }
