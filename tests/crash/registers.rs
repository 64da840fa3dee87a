//! What a stopped thread is about to ask of the kernel: number, arguments and result of its system call. The only file
//! that knows a processor.

use nix::errno::Errno;
use nix::libc::user_regs_struct;
use nix::sys::ptrace;
use nix::unistd::Pid;

/// A system call as it stands in the registers of a thread that is stopped at its entry.
#[derive(Debug, Clone, Copy)]
pub struct Raw {
    pub number: i64,
    pub arguments: [u64; 6],
}

/// Reads number and arguments. Only at the entry do they mean anything.
pub fn read_call(thread: Pid) -> nix::Result<Raw> {
    Ok(raw(&ptrace::getregs(thread)?))
}

/// What a call came to: the value, or the error as a negative number. Only at the exit does it mean anything.
pub fn read_result(thread: Pid) -> nix::Result<i64> {
    Ok(result(&ptrace::getregs(thread)?))
}

/// At the entry: another value for one argument.
///
/// A call is kept from taking effect by an argument that cannot be right (descriptor -1, a path at address 1), and not by
/// another number: that way is the same on every processor.
pub fn write_argument(thread: Pid, index: usize, value: u64) -> nix::Result<()> {
    let mut registers = ptrace::getregs(thread)?;
    set_argument(&mut registers, index, value);
    ptrace::setregs(thread, registers)
}

/// At the exit: the caller sees this error, whatever the kernel said.
pub fn write_error(thread: Pid, errno: Errno) -> nix::Result<()> {
    let mut registers = ptrace::getregs(thread)?;
    set_result(&mut registers, -i64::from(errno as i32));
    ptrace::setregs(thread, registers)
}

#[cfg(target_arch = "x86_64")]
fn raw(registers: &user_regs_struct) -> Raw {
    let r = registers;
    Raw { number: r.orig_rax.cast_signed(), arguments: [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9] }
}

#[cfg(target_arch = "x86_64")]
fn result(registers: &user_regs_struct) -> i64 {
    registers.rax.cast_signed()
}

#[cfg(target_arch = "x86_64")]
fn set_argument(registers: &mut user_regs_struct, index: usize, value: u64) {
    let r = registers;
    *[&mut r.rdi, &mut r.rsi, &mut r.rdx, &mut r.r10, &mut r.r8, &mut r.r9][index] = value;
}

#[cfg(target_arch = "x86_64")]
fn set_result(registers: &mut user_regs_struct, value: i64) {
    registers.rax = value.cast_unsigned();
}

#[cfg(target_arch = "aarch64")]
fn raw(registers: &user_regs_struct) -> Raw {
    let r = &registers.regs;
    Raw { number: r[8].cast_signed(), arguments: [r[0], r[1], r[2], r[3], r[4], r[5]] }
}

#[cfg(target_arch = "aarch64")]
fn result(registers: &user_regs_struct) -> i64 {
    registers.regs[0].cast_signed()
}

#[cfg(target_arch = "aarch64")]
fn set_argument(registers: &mut user_regs_struct, index: usize, value: u64) {
    registers.regs[index] = value;
}

#[cfg(target_arch = "aarch64")]
fn set_result(registers: &mut user_regs_struct, value: i64) {
    registers.regs[0] = value.cast_unsigned();
}
