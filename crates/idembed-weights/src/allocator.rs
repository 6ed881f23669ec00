//! The C library's allocator.

/// Lets the process keep freed memory for its next allocation instead of giving it back to the system.
///
/// The networks free and ask for the same large buffers at every step; getting each anew from the system costs more
/// than some of the layers (Linux hands out zeroed pages one by one). For programs to call once, at their start.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt only sets two numbers of the C library's allocator.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
    }
}
