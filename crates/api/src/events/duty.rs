//! Events of duties.

use super::encoded;
use crate::InvalidMessage;
use crate::invalid::{Checked, stated};
use crate::proto::event::v1;
use bytes::Bytes;
use tenon_core::duty::{Duty, Epoch, Event};
use tenon_core::platform;
use tenon_core::{EventType, ServerId};

pub(super) fn encode(event: &Event) -> (EventType, Bytes) {
    let Event::DutyTaken { duty, server, epoch } = event;
    encoded(&v1::DutyTaken {
        duty: v1::Duty::from(*duty).into(),
        server: Bytes::copy_from_slice(server.as_bytes()),
        epoch: epoch.0,
    })
}

pub(super) fn duty_taken(message: v1::DutyTaken) -> Checked<platform::Event> {
    let v1::DutyTaken { duty, server, epoch } = message;
    let server = <[u8; 16]>::try_from(Vec::from(server));
    let server = server.map_err(|_| InvalidMessage::new("server", "must have 16 bytes"))?;
    Ok(platform::Event::Duty(Event::DutyTaken {
        duty: stated("duty", duty, v1::Duty::known)?,
        server: ServerId::from_bytes(server),
        epoch: Epoch(epoch),
    }))
}

impl From<Duty> for v1::Duty {
    fn from(duty: Duty) -> Self {
        match duty {
            Duty::Health => Self::Health,
            Duty::Runtime => Self::Runtime,
        }
    }
}

impl v1::Duty {
    fn known(self) -> Option<Duty> {
        match self {
            Self::Unspecified => None,
            Self::Health => Some(Duty::Health),
            Self::Runtime => Some(Duty::Runtime),
        }
    }
}
