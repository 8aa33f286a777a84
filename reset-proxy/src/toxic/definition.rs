//! A toxic as the API defines it: its name, its stream, the share of connections that have it, and what it does.

use serde::{Serialize, Serializer};

use crate::toxic::{
    fields::{BodyError, Fields},
    kind::ToxicKind,
    step::Stream,
};

/// A toxic of a proxy, as the API shows it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Toxic {
    pub(crate) attributes: ToxicKind,
    pub(crate) name: String,
    pub(crate) r#type: String,
    pub(crate) stream: Stream,
    /// The fraction of the connections that have it, 0 to 1.
    #[serde(serialize_with = "shortest")]
    pub(crate) toxicity: f64,
    /// Tells apart two toxics that have had the same name one after the other.
    #[serde(skip)]
    pub(crate) id: u64,
}

impl Toxic {
    /// Reads a new toxic from the body of a request.
    pub(crate) fn read(fields: &Fields) -> Result<Self, BodyError> {
        // Toxiproxy reads it in any letter case, and its client for .NET writes `UpStream`.
        let stream = match fields.text("stream")? {
            Some(stream) => Some(stream),
            // So the Rust client noxious names the field.
            None => fields.text("direction")?,
        };
        let stream = match stream.map(|stream| stream.to_ascii_lowercase()).as_deref() {
            None | Some("downstream") => Stream::Downstream,
            Some("upstream") => Stream::Upstream,
            Some(_) => return Err(BodyError::Stream),
        };
        let r#type = fields.text("type")?.unwrap_or_default();
        let attributes = ToxicKind::of(&r#type).ok_or(BodyError::ToxicType)?;
        let name = fields.text("name")?.filter(|name| !name.is_empty()).unwrap_or_else(|| {
            let stream = match stream {
                Stream::Upstream => "upstream",
                Stream::Downstream => "downstream",
            };
            format!("{type}_{stream}")
        });
        Self { attributes, name, r#type, stream, toxicity: 1.0, id: 0 }.merged(fields)
    }

    /// The same toxic with the toxicity and the attributes that the fields name.
    pub(crate) fn merged(mut self, fields: &Fields) -> Result<Self, BodyError> {
        if let Some(toxicity) = fields.number("toxicity")? {
            if !(0.0..=1.0).contains(&toxicity) {
                return Err(BodyError::Toxicity(toxicity));
            }
            self.toxicity = toxicity;
        }
        if let Some(attributes) = fields.object("attributes")? {
            self.attributes.merge(&attributes)?;
        }
        Ok(self)
    }
}

/// Writes 1 as `1` and not as `1.0`, as Toxiproxy does.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn shortest<S: Serializer>(toxicity: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    #[expect(clippy::cast_possible_truncation, reason = "the value is 0 or 1")]
    if toxicity.fract() == 0.0 {
        serializer.serialize_i64(*toxicity as i64)
    } else {
        serializer.serialize_f64(*toxicity)
    }
}
