//! A model of the machine.
