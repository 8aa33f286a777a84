//! Changes the cluster: creates and deletes a lab's objects, and writes its Events.

mod create;
mod event;
mod evidence;
mod lab;

pub(crate) use self::{
    create::Creation,
    event::{emit, is_news},
    evidence::keep_evidence,
    lab::{create_lab, delete_lab, launch_load, stop_lab},
};
