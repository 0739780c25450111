//! Lists that are no longer than they need to be.

/// Makes a list `len` long, the new ones `value`. Grows by a sixteenth, not to the double: there may be millions.
pub fn push_tightly<T: Clone>(list: &mut Vec<T>, len: usize, value: T) {
    if list.capacity() < len {
        list.reserve_exact((len - list.len()).max(list.len() / 16).max(64));
    }
    list.resize(len, value);
}
