//! The reference of the custom resource: `docs/reference.md`, made from its definition.
//!
//! Every field of spec and status is in it with its type, meaning, bounds, default, example and rules. The meanings are the doc
//! comments of the types. It must not know what the fields do.

mod example;
mod field;
mod reasons;
mod words;

use serde_json::{Value, json};

use crate::definition::definition;

pub use field::{Field, fields};

const INTRODUCTION: &str = "# Reference of ChaosExperiment

<!-- Made from the types by resource/src/reference.rs. Make it anew: UPDATE_REFERENCE=1 cargo test -p paylab-resource --test reference -->

A file holds one or more resources of `apiVersion: paylab.dev/v1alpha1` and `kind: ChaosExperiment`, each with a `metadata.name`
and a `spec`. Several are separated by lines of `---`. [Semantics](semantics.md) explains payments, attempts, faults and verdicts.

The smallest experiment needs a claim only:

```yaml
apiVersion: paylab.dev/v1alpha1
kind: ChaosExperiment
metadata: {name: smallest}
spec: {claim: AtLeastOnce}
```

Under each field is its type, what is allowed, its default, and an example. A text that looks like a number needs quotes. A
duration is a whole number of `ms`, `s`, `m` or `h`, such as `250ms` or `5s`. A field that is absent or null has its default.
`[]` in a path stands for each item of a list, `NAME` for each key of a map. A spec cannot be changed once it is on a cluster.
";

/// The whole reference as Markdown.
#[must_use]
pub fn reference() -> String {
    let definition = json!(definition());
    let fields = fields();
    let (spec, status): (Vec<_>, Vec<_>) = fields.iter().partition(|field| field.path.starts_with("spec"));
    let section = |title: &str, fields: &[&Field]| format!("\n## {title}\n\n{}", entries(fields));
    [
        INTRODUCTION.to_owned(),
        format!("\n## metadata.name\n\n{}", name_rule(&definition)),
        section("Spec", &spec),
        section("Status", &status),
        reasons::conditions(),
        reasons::reasons(),
        columns(&definition["spec"]["versions"][0]["additionalPrinterColumns"]),
    ]
    .concat()
}

fn entries(fields: &[&Field]) -> String {
    fields.iter().map(|field| field.entry()).collect::<Vec<_>>().join("\n")
}

/// The rule on the name, which is the only one about metadata.
fn name_rule(definition: &Value) -> String {
    let rules = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["x-kubernetes-validations"];
    format!("The name of the experiment. Rule: {}.\n", words::plain(&rules[0]["message"]))
}

/// The columns of `kubectl get`.
fn columns(columns: &Value) -> String {
    let row = |column: &Value| {
        let shown = if column["priority"].as_i64() == Some(1) { "with `-o wide`" } else { "always" };
        let path = words::plain(&column["jsonPath"]);
        format!("| {} | `{}` | {shown} |\n", words::plain(&column["name"]), path.trim_start_matches('.'))
    };
    let rows: String = columns.as_array().into_iter().flatten().map(row).collect();
    format!("\n## Columns of `kubectl get`\n\n| column | field | shown |\n|---|---|---|\n{rows}")
}
