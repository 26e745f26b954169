//! Numbers of variable length: seven bits a byte, least significant first, and the high bit says
//! that more follow. Pure: bytes in, numbers out.

/// Appends `number`, in one to ten bytes.
pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            return out.push(low & 0x7f);
        }
        out.push(low | 0x80);
    }
}

/// Takes a number from the front of `bytes`; `None` where there is no whole one.
pub(super) fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// How many bytes a number takes, at most.
pub(super) const NUMBER_BYTES_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(number in any::<u64>(), rest in prop::collection::vec(any::<u8>(), 0..5)) {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            prop_assert!(bytes.len() <= NUMBER_BYTES_MAX);
            for cut in 0..bytes.len() {
                prop_assert_eq!(take_number(&mut &bytes[..cut]), None);
            }
            bytes.extend_from_slice(&rest);
            let mut left = bytes.as_slice();
            prop_assert_eq!(take_number(&mut left), Some(number));
            prop_assert_eq!(left, rest);
        }
    }
}
