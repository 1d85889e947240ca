//! Calls to names outside the mesh, where the manifest allows them: passed on as they are, with nothing added that would
//! tell strangers about the mesh.

use crate::course::Course;
use crate::headers::{Marks, Trust};
use crate::outgoing::Outgoing;
use crate::refusal::Refused;
use crate::story::Story;
use http::uri::Authority;
use std::time::Duration;
use tenon_core::{Address, Code};

/// How long a call outside may take, unless its caller says less.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A request goes to whom its URI names.
pub(crate) fn course(mut story: Story, mut outgoing: Outgoing) -> Course {
    story.goes_to(None, None);
    outgoing.in_mesh = false;
    // What the mesh's requests say of themselves is nobody's business outside.
    let _ = Marks::of(outgoing.headers_mut(), Trust::Stranger);
    match address_of(outgoing.authority(), 80) {
        Ok(address) => Course::Single(story, address, outgoing, TIMEOUT),
        Err(refused) => story.refuse(&refused).into(),
    }
}

/// The address that an authority means.
pub(crate) fn address_of(authority: &Authority, default_port: u16) -> Result<Address, Refused> {
    let host = authority.host();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Address::new(host.strip_suffix('.').unwrap_or(host), authority.port_u16().unwrap_or(default_port))
        .map_err(|invalid| Refused::new(Code::RequestInvalid, invalid.to_string()))
}
