//! Memory pages of mapped files.

use tch::Tensor;

/// Gives the pages of a tensor that lies in a map, and was read once, back to the system.
pub(crate) fn release(tensor: &Tensor) {
    #[cfg(unix)]
    {
        // SAFETY: a question to the system, without conditions.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let start = tensor.data_ptr() as usize;
        let end = start + tensor.numel() * tensor.kind().elt_size_in_bytes();
        // Pages that other tensors share stay.
        let (first, last) = (start.next_multiple_of(page), end / page * page);
        if first >= last {
            return;
        }
        // SAFETY: the pages lie within the tensor's storage, which is alive and mapped from a file that nothing here
        // writes to: they are read from the file again when they are touched again.
        let kept = unsafe { libc::madvise(first as *mut libc::c_void, last - first, libc::MADV_DONTNEED) };
        if kept != 0 {
            let error = std::io::Error::last_os_error();
            tracing::debug!(%error, "the system kept the pages of a converted weight");
        }
    }
}
