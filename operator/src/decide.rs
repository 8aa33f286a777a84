pub(crate) mod decision;
pub(crate) mod evidence;
