//! Ranges of addresses.

use crate::id::InvalidName;
use std::fmt;
use std::net::IpAddr;

/// The addresses that begin with the same bits, such as `10.0.0.0/8`; a single address without `/`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    /// With all bits after the common ones zero.
    address: IpAddr,
    bits: u8,
}

impl Cidr {
    /// Reads and checks a range.
    ///
    /// # Errors
    /// [`InvalidName`] says what form is expected.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let invalid = |problem| InvalidName::new("address range", text, problem);
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, bits)| (a, Some(bits)));
        let address: IpAddr =
            address.parse().map_err(|_| invalid("must be an address, or a range such as 10.0.0.0/8"))?;
        let most = width(address);
        let bits = bits.map_or(Ok(most), str::parse).ok().filter(|bits| *bits <= most);
        let bits =
            bits.ok_or_else(|| invalid("must have 0 to 32 bits after '/' for IPv4, to 128 for IPv6"))?;
        let cleared = cleared(address, bits);
        if cleared != address {
            return Err(invalid("has bits set after those that are in common"));
        }
        Ok(Self { address, bits })
    }

    /// Whether an address lies in the range. IPv4 addresses written as IPv6 ones are IPv4 addresses.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && cleared(address, self.bits) == self.address
    }
}

const fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The address with only its first `bits` bits.
fn cleared(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

impl std::str::FromStr for Cidr {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::new(text)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bits == width(self.address) {
            return self.address.fmt(f);
        }
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
