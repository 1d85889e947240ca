//! Events of the runtime.

use super::{encoded, reference, referred, time};
use crate::invalid::{Checked, narrowed, nested, required, stated};
use crate::proto::event::v1;
use bytes::Bytes;
use tenon_core::runtime::{Event, Exit, Ports, SpecHash, StopReason};
use tenon_core::{EventType, Timestamp, platform};

pub(super) fn encode(event: &Event) -> (EventType, Bytes) {
    match event {
        Event::ServiceStarted { service } => encoded(&v1::ServiceStarted { service: Some(service.into()) }),
        Event::ServiceStopped { service } => encoded(&v1::ServiceStopped { service: Some(service.into()) }),
        Event::ServiceScaled { service, replicas } => {
            encoded(&v1::ServiceScaled { service: Some(service.into()), replicas: *replicas })
        }
        Event::InstanceStarting { instance, service, slot, spec, ports } => encoded(&v1::InstanceStarting {
            instance: reference(service, instance),
            slot: *slot,
            spec_hash: spec.0,
            application_port: ports.application.into(),
            inbound_port: ports.inbound.into(),
            outbound_port: ports.outbound.into(),
        }),
        Event::InstanceStarted { instance, service, pid, started_at } => encoded(&v1::InstanceStarted {
            instance: reference(service, instance),
            pid: *pid,
            started_at: time(*started_at),
        }),
        Event::InstanceStopping { instance, service, reason } => encoded(&v1::InstanceStopping {
            instance: reference(service, instance),
            reason: v1::StopReason::from(*reason).into(),
        }),
        Event::InstanceExited { instance, service, exit } => {
            encoded(&v1::InstanceExited { instance: reference(service, instance), exit: Some(exit.into()) })
        }
    }
}

pub(super) fn service_started(message: v1::ServiceStarted) -> Checked<platform::Event> {
    let service = nested("service", message.service)?;
    Ok(platform::Event::Runtime(Event::ServiceStarted { service }))
}

pub(super) fn service_stopped(message: v1::ServiceStopped) -> Checked<platform::Event> {
    let service = nested("service", message.service)?;
    Ok(platform::Event::Runtime(Event::ServiceStopped { service }))
}

pub(super) fn service_scaled(message: v1::ServiceScaled) -> Checked<platform::Event> {
    let service = nested("service", message.service)?;
    Ok(platform::Event::Runtime(Event::ServiceScaled { service, replicas: message.replicas }))
}

pub(super) fn instance_starting(message: v1::InstanceStarting) -> Checked<platform::Event> {
    let (service, instance) = referred(message.instance)?;
    let ports = Ports {
        application: narrowed("application_port", message.application_port)?,
        inbound: narrowed("inbound_port", message.inbound_port)?,
        outbound: narrowed("outbound_port", message.outbound_port)?,
    };
    let spec = SpecHash(message.spec_hash);
    Ok(platform::Event::Runtime(Event::InstanceStarting {
        instance,
        service,
        slot: message.slot,
        spec,
        ports,
    }))
}

pub(super) fn instance_started(message: v1::InstanceStarted) -> Checked<platform::Event> {
    let (service, instance) = referred(message.instance)?;
    let started_at = Timestamp::from_micros(required("started_at", message.started_at)?.micros);
    Ok(platform::Event::Runtime(Event::InstanceStarted { instance, service, pid: message.pid, started_at }))
}

pub(super) fn instance_stopping(message: v1::InstanceStopping) -> Checked<platform::Event> {
    let (service, instance) = referred(message.instance)?;
    let reason = stated("reason", message.reason, v1::StopReason::known)?;
    Ok(platform::Event::Runtime(Event::InstanceStopping { instance, service, reason }))
}

pub(super) fn instance_exited(message: v1::InstanceExited) -> Checked<platform::Event> {
    let (service, instance) = referred(message.instance)?;
    let exit = required("exit", message.exit)?.into();
    Ok(platform::Event::Runtime(Event::InstanceExited { instance, service, exit }))
}

impl From<&Exit> for v1::instance_exited::Exit {
    fn from(exit: &Exit) -> Self {
        match exit {
            Exit::Exited(code) => Self::Code(*code),
            Exit::Signalled(signal) => Self::Signal(*signal),
            Exit::Lost => Self::Lost(v1::Lost {}),
            Exit::StartFailed(reason) => Self::StartFailed(reason.clone()),
        }
    }
}

impl From<v1::instance_exited::Exit> for Exit {
    fn from(message: v1::instance_exited::Exit) -> Self {
        use v1::instance_exited::Exit as Message;
        match message {
            Message::Code(code) => Self::Exited(code),
            Message::Signal(signal) => Self::Signalled(signal),
            Message::Lost(v1::Lost {}) => Self::Lost,
            Message::StartFailed(reason) => Self::start_failed(&reason),
        }
    }
}

impl From<StopReason> for v1::StopReason {
    fn from(reason: StopReason) -> Self {
        match reason {
            StopReason::ServiceStopped => Self::ServiceStopped,
            StopReason::ScaledDown => Self::ScaledDown,
            StopReason::ServiceRemoved => Self::ServiceRemoved,
            StopReason::Replaced => Self::Replaced,
            StopReason::Unhealthy => Self::Unhealthy,
        }
    }
}

impl v1::StopReason {
    fn known(self) -> Option<StopReason> {
        match self {
            Self::Unspecified => None,
            Self::ServiceStopped => Some(StopReason::ServiceStopped),
            Self::ScaledDown => Some(StopReason::ScaledDown),
            Self::ServiceRemoved => Some(StopReason::ServiceRemoved),
            Self::Replaced => Some(StopReason::Replaced),
            Self::Unhealthy => Some(StopReason::Unhealthy),
        }
    }
}
