// The part of the kernel's io_uring ABI that Sluice uses: opcodes, flags and errno values. Both executors speak it.

/** Opcodes (linux/io_uring.h). */
export const IORING_OP = {
  NOP: 0,
  POLL_ADD: 6,
  SENDMSG: 9,
  ACCEPT: 13,
  ASYNC_CANCEL: 14,
  CONNECT: 16,
  CLOSE: 19,
  SEND: 26,
  RECV: 27,
  MSG_RING: 40,
} as const;

/** Submission flags, byte 1 of an entry. */
export const IOSQE = { IO_LINK: 4, BUFFER_SELECT: 32, CQE_SKIP_SUCCESS: 64 } as const;

/** Completion flags. The upper 16 bits are the buffer id. */
export const CQE_F = { BUFFER: 1, MORE: 2 } as const;

/** `ioprio` bits. */
export const ACCEPT_MULTISHOT = 1;
export const RECV_MULTISHOT = 2;
/** A receive may fill several buffers, which are consecutive in the ring of lent buffers. */
export const RECVSEND_BUNDLE = 16;

export const MSG_NOSIGNAL = 0x4000;
export const MSG_WAITALL = 0x100;
export const MSG_DONTWAIT = 0x40;

export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLERR = 8;
export const POLLHUP = 16;
export const POLLRDHUP = 0x2000;

export const SHUT_WR = 1;

/** errno values that the data path distinguishes. */
export const ERRNO = {
  EINTR: 4,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EBUSY: 16,
  ENFILE: 23,
  EMFILE: 24,
  EPIPE: 32,
  ETIME: 62,
  EPROTO: 71,
  EADDRNOTAVAIL: 99,
  ECONNABORTED: 103,
  ECONNRESET: 104,
  ENOBUFS: 105,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  EHOSTUNREACH: 113,
  ECANCELED: 125,
} as const;

/** Whether an `enter` that returned `result` failed only temporarily: what it did not take is submitted again. */
export function passing(result: number): boolean {
  switch (-result) {
    case ERRNO.EAGAIN:
    case ERRNO.ENOMEM:
    case ERRNO.EBUSY:
    case ERRNO.EINTR:
    case ERRNO.ETIME:
      return true;
    default:
      return false;
  }
}

/** The operation of a completion: bits 24..31 of user_data's low half; the slot is in bits 0..23. */
export const OP = {
  NONE: 0,
  ACCEPT: 1,
  RECV: 2,
  SEND: 3,
  CONNECT: 4,
  POLL_IN: 5,
  POLL_OUT: 6,
  HANDOVER: 7,
  HANDOVER_SENT: 8,
  UV: 9,
  PUMP_IN: 10,
  PUMP_OUT: 11,
  POLL_HUP: 12,
} as const;

export const OP_SHIFT = 24;
export const SLOT_MASK = 0xffffff;
