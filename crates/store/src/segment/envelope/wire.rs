//! As much of protobuf's wire format as envelopes need: varints and what has a length.

/// How many bytes a number has at most.
const MOST_VARINT: usize = 10;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of a type that envelopes do not use.
    Other,
}

/// The fields of a message, each with its number; none for what is no field, and then it ends.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u32, Field<'a>)>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    /// The first byte of the next field, which is its whole key if the field's number is below 16; none at the end.
    #[inline]
    pub(super) fn key(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The number that a field of a one-byte key holds.
    #[inline]
    pub(super) fn number(&mut self) -> Option<u64> {
        self.take(1)?;
        self.varint()
    }

    /// The bytes that a field of a one-byte key holds.
    #[inline]
    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        self.take(1)?;
        let length = self.varint()?;
        self.take(usize::try_from(length).ok()?)
    }

    #[inline]
    fn field(&mut self) -> Option<(u32, Field<'a>)> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).ok().filter(|number| *number > 0)?;
        let field = match key & 7 {
            0 => Field::Number(self.varint()?),
            1 => self.other(8)?,
            2 => {
                let length = self.varint()?;
                Field::Bytes(self.take(usize::try_from(length).ok()?)?)
            }
            5 => self.other(4)?,
            _ => return None,
        };
        Some((number, field))
    }

    fn other(&mut self, length: usize) -> Option<Field<'a>> {
        self.take(length).map(|_| Field::Other)
    }

    /// So many bytes.
    #[inline]
    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number. Most have one byte.
    #[inline]
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first()?;
        if *first >= 0x80 {
            return self.longer();
        }
        self.0 = rest;
        Some(u64::from(*first))
    }

    /// Up to eight bytes at once.
    #[inline]
    fn longer(&mut self) -> Option<u64> {
        let word = self.0.first_chunk().map_or(u64::MAX, |bytes| u64::from_le_bytes(*bytes));
        let ends = !word & 0x8080_8080_8080_8080;
        if ends == 0 {
            return self.byte_by_byte();
        }
        // All bits up to the one that says which byte is the last.
        let word = word & (ends ^ (ends - 1));
        self.0 = self.0.get(ends.trailing_zeros() as usize / 8 + 1..)?;
        // Seven bits of each byte, then of two, then of four.
        let word = (word & 0x007f_007f_007f_007f) | ((word & 0x7f00_7f00_7f00_7f00) >> 1);
        let word = (word & 0x0000_3fff_0000_3fff) | ((word & 0x3fff_0000_3fff_0000) >> 2);
        Some((word & 0x0fff_ffff) | ((word & 0x0fff_ffff_0000_0000) >> 4))
    }

    #[cold]
    fn byte_by_byte(&mut self) -> Option<u64> {
        let (mut value, mut shift, mut read) = (0, 0, 0);
        for byte in self.0.iter().take(MOST_VARINT) {
            read += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                self.0 = self.0.get(read..)?;
                return Some(value);
            }
            shift += 7;
        }
        None
    }
}

pub(super) fn varint_length(value: u64) -> usize {
    (u64::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

pub(crate) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A number, unless it is zero. The field's number is below 16.
pub(super) fn put_number(field: u32, value: u64, out: &mut Vec<u8>) {
    if value > 0 {
        put_varint(u64::from(field << 3), out);
        put_varint(value, out);
    }
}

/// The beginning of what has a length.
pub(super) fn put_length(field: u32, length: usize, out: &mut Vec<u8>) {
    put_varint(u64::from((field << 3) | 2), out);
    put_varint(length as u64, out);
}

pub(super) fn put_bytes(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    put_length(field, bytes.len(), out);
    out.extend_from_slice(bytes);
}

pub(super) fn put_unless_empty(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    if !bytes.is_empty() {
        put_bytes(field, bytes, out);
    }
}
