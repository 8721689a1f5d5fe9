// Operations of the epoll executor: what each entry does when it is issued and when its descriptor becomes ready.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "epoll.h"
#include "sys.h"

#define KNOWN_FLAGS (IOSQE_IO_LINK | IOSQE_IO_HARDLINK | IOSQE_ASYNC | IOSQE_BUFFER_SELECT | SLUICE_CQE_SKIP_SUCCESS)
// ioprio of ACCEPT
#define ACCEPT_MULTISHOT 1u
// cancel_flags of ASYNC_CANCEL
#define CANCEL_ALL 1u
#define CANCEL_FD 2u
#define POLL_MULTI_AND_UPDATE 7u
// addr of MSG_RING: the kind that carries a number
#define MSG_DATA 0
#define SLICES 64

enum outcome { BLOCKED, FINISHED, MORE, DRAINED, DEFERRED };

static void *pointer(uint64_t address) { return (void *)(uintptr_t)address; }

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

static enum outcome finished(struct epoll_executor *x, uint32_t index, int32_t result, uint32_t cqe_flags) {
  sluice_finish(x, index, result, cqe_flags);
  return FINISHED;
}

// Collects provided buffers from the next one on, for up to `most` bytes; returns their number, 0 if the ring is empty. They are taken only
// once there are bytes in them. As in the kernel, a buffer longer than the remaining limit is not part of a bundle, unless it is the first.
static size_t next_buffers(const struct epoll_executor *x, struct iovec *into, size_t slices, size_t most, size_t *room) {
  const struct sluice_buffer *buffers = x->ring->buffers;
  uint16_t tail = __atomic_load_n(&buffers[0].tail, __ATOMIC_ACQUIRE);
  size_t count = 0;
  *room = 0;
  for (uint16_t head = x->buffer_head; head != tail && count < slices && *room < most; head++, count++) {
    const struct sluice_buffer *buffer = &buffers[head & (x->ring->buffer_count - 1)];
    size_t length = buffer->length;
    if (length > most - *room) {
      if (count > 0) break;
      length = most;
    }
    into[count] = (struct iovec){pointer(buffer->address), length};
    *room += length;
  }
  return count;
}

static void take_buffers(struct epoll_executor *x, const struct iovec *filled, size_t got) {
  for (; got > 0; filled++) {
    x->buffer_head++;
    got -= got < filled->iov_len ? got : filled->iov_len;
  }
}

static enum outcome try_recv(struct epoll_executor *x, uint32_t index, struct fd_state *f) {
  struct op *op = op_at(x, index);
  bool multishot = (op->sqe.ioprio & SLUICE_RECV_MULTISHOT) != 0;
  if (multishot && completions_full(x)) return DEFERRED;
  struct iovec slices[SLICES] = {{pointer(op->sqe.addr), op->sqe.len}};
  size_t length = op->sqe.len, count = 1;
  // The total limit of a multishot receive, if it has one (optlen).
  size_t limit = multishot ? (uint32_t)op->sqe.splice_fd_in : 0;
  uint32_t cqe_flags = 0;
  bool selects = (op->sqe.flags & IOSQE_BUFFER_SELECT) != 0;
  if (selects) {
    size_t most = length == 0 ? SIZE_MAX : length;
    if (limit > 0) most = least(most, limit - op->done);
    // Several at once only if the last one was filled: a vector costs more, and most messages are small.
    bool bundle = (op->sqe.ioprio & SLUICE_RECVSEND_BUNDLE) != 0 && op->bulk;
    count = next_buffers(x, slices, bundle ? SLICES : 1, most, &length);
    if (count == 0) return finished(x, index, -ENOBUFS, 0);
    uint16_t id = x->ring->buffers[x->buffer_head & (x->ring->buffer_count - 1)].id;
    cqe_flags = IORING_CQE_F_BUFFER | (uint32_t)id << IORING_CQE_BUFFER_SHIFT;
  }
  int flags = (int)(op->sqe.msg_flags & ~(uint32_t)MSG_WAITALL) | MSG_DONTWAIT;
  struct msghdr message = {.msg_iov = slices, .msg_iovlen = count};
  ssize_t got = count == 1 ? SYS(recv, op->sqe.fd, slices[0].iov_base, SYS_LENGTH(length), flags)
                           : SYS(recvmsg, op->sqe.fd, &message, flags);
  if (got < 0) return errno == EAGAIN ? BLOCKED : errno == EINTR ? MORE : finished(x, index, -errno, 0);
  if (got == 0) return finished(x, index, 0, 0);
  if (selects) take_buffers(x, slices, (size_t)got);
  op->bulk = (size_t)got == length;
  bool drained = (size_t)got < length && (f->flags & (FD_HUNG | FD_URGENT)) == 0;
  if (limit > 0) op->done += (uint32_t)got;
  if (multishot && (limit == 0 || op->done < limit)) {
    sluice_post(x, op->sqe.user_data, (int32_t)got, cqe_flags | IORING_CQE_F_MORE);
    return drained ? DRAINED : MORE;
  }
  // If the socket is not watched, a short read says nothing about later data: no edge will announce it.
  if (drained && (f->flags & FD_WATCHED) != 0) f->flags &= ~(uint32_t)FD_READABLE;
  return finished(x, index, (int32_t)got, cqe_flags);
}

static enum outcome try_accept(struct epoll_executor *x, uint32_t index) {
  const struct op *op = op_at(x, index);
  bool multishot = (op->sqe.ioprio & ACCEPT_MULTISHOT) != 0;
  if (multishot && completions_full(x)) return DEFERRED;
  int fd = SYS(accept4, op->sqe.fd, pointer(op->sqe.addr), pointer(op->sqe.addr2), (int)op->sqe.accept_flags);
  // A connection reset while in the queue is not an error of the listener.
  if (fd < 0 && (errno == EINTR || errno == ECONNABORTED)) return MORE;
  if (fd < 0) return errno == EAGAIN ? BLOCKED : finished(x, index, -errno, 0);
  if ((uint32_t)fd >= sluice_fd_limit()) {  // the limit was raised after this process had sized its tables
    SYS_CLOSE(fd);
    return finished(x, index, -EMFILE, 0);
  }
  sluice_fd_renew(fd);
  if (!multishot) return finished(x, index, fd, 0);
  sluice_post(x, op->sqe.user_data, fd, IORING_CQE_F_MORE);
  return MORE;
}

void sluice_run_readers(struct epoll_executor *x, int fd, struct fd_state *f) {
  int budget = TURN_BUDGET;
  uint16_t buffers = x->buffer_head;
  while (f->queue[READERS] != 0 && (f->flags & FD_READABLE) != 0) {
    uint32_t index = f->queue[READERS];
    if (budget-- == 0 || (uint16_t)(x->buffer_head - buffers) >= BUFFER_BUDGET) {
      sluice_mark_ready(x, fd);
      return;
    }
    bool accepts = op_at(x, index)->sqe.opcode == IORING_OP_ACCEPT;
    enum outcome outcome = accepts ? try_accept(x, index) : try_recv(x, index, f);
    if (outcome == DEFERRED) {
      sluice_mark_ready(x, fd);
      return;
    }
    if (outcome == DRAINED || outcome == BLOCKED) f->flags &= ~(uint32_t)FD_READABLE;
    if (outcome == BLOCKED) {
      f->flags &= ~(uint32_t)FD_URGENT;
      // A one-shot receive is tried before its socket is registered; registering reports what has arrived since.
      int error = sluice_watch(x, f, fd);
      if (error < 0) sluice_finish(x, index, error, 0);
    }
  }
}

// sendmsg() for the rest of an interrupted SENDMSG. The caller's vectors are not changed.
static ssize_t send_rest(const struct op *op, int flags) {
  const struct msghdr *message = pointer(op->sqe.addr);
  if (op->done == 0) return SYS(sendmsg, op->sqe.fd, message, flags);
  struct iovec rest[SLICES];
  size_t count = 0, skip = op->done;
  for (size_t i = 0; i < (size_t)message->msg_iovlen && count < SLICES; i++) {
    struct iovec slice = message->msg_iov[i];
    if (skip >= slice.iov_len) {
      skip -= slice.iov_len;
      continue;
    }
    rest[count++] = (struct iovec){(char *)slice.iov_base + skip, slice.iov_len - skip};
    skip = 0;
  }
  struct msghdr part = {.msg_iov = rest, .msg_iovlen = count};
  return SYS(sendmsg, op->sqe.fd, &part, flags);
}

static size_t send_length(const struct op *op) {
  if (op->sqe.opcode == IORING_OP_SEND) return op->sqe.len;
  const struct msghdr *message = pointer(op->sqe.addr);
  size_t total = 0;
  for (size_t i = 0; i < (size_t)message->msg_iovlen; i++) total += message->msg_iov[i].iov_len;
  return total;
}

static enum outcome try_send(struct epoll_executor *x, uint32_t index) {
  struct op *op = op_at(x, index);
  bool whole = (op->sqe.msg_flags & MSG_WAITALL) != 0;
  // As in the kernel: such a send never waits, and has failed if it is partial.
  bool now = (op->sqe.msg_flags & MSG_DONTWAIT) != 0;
  int flags = (int)(op->sqe.msg_flags & ~(uint32_t)MSG_WAITALL) | MSG_DONTWAIT | MSG_NOSIGNAL;
  size_t total = whole ? send_length(op) : 0;
  for (;;) {
    ssize_t sent = op->sqe.opcode == IORING_OP_SEND
                       ? SYS(send, op->sqe.fd, (const char *)pointer(op->sqe.addr) + op->done,
                             SYS_LENGTH(op->sqe.len - op->done), flags)
                       : send_rest(op, flags);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN && !now) return BLOCKED;
    if (sent > 0) op->done += (uint32_t)sent;
    if (sent > 0 && op->done < total) continue;
    op->fell_short = op->done < total;
    // Bytes already sent are reported before the error; the next send will meet it again.
    return finished(x, index, sent < 0 && op->done == 0 ? -errno : (int32_t)op->done, 0);
  }
}

// Whether a connection attempt has finished: with the socket's pending error, or writable without one.
static enum outcome try_connected(struct epoll_executor *x, uint32_t index) {
  int fd = op_at(x, index)->sqe.fd, error = 0;
  socklen_t size = sizeof error;
  if (SYS(getsockopt, fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) return finished(x, index, -errno, 0);
  struct pollfd writable = {.fd = fd, .events = POLLOUT};
  int ready = error == 0 ? SYS(poll, &writable, 1, 0) : 1;
  if (ready == 0) return BLOCKED;
  return finished(x, index, ready < 0 ? -errno : -error, 0);
}

static enum outcome try_write(struct epoll_executor *x, uint32_t index) {
  return op_at(x, index)->sqe.opcode == IORING_OP_CONNECT ? try_connected(x, index) : try_send(x, index);
}

void sluice_run_writers(struct epoll_executor *x, struct fd_state *f) {
  while (f->queue[WRITERS] != 0 && try_write(x, f->queue[WRITERS]) == FINISHED) {
  }
}

void sluice_run_pollers(struct epoll_executor *x, struct fd_state *f, uint32_t events) {
  for (uint32_t index = f->queue[POLLERS]; index != 0;) {
    uint32_t next = op_at(x, index)->next;
    uint32_t seen = events & (op_at(x, index)->sqe.poll32_events | EPOLLERR | EPOLLHUP);
    if (seen != 0) sluice_finish(x, index, (int32_t)seen, 0);
    index = next;
  }
}

static void park_and_watch(struct epoll_executor *x, struct fd_state *f, uint32_t index, enum queue queue) {
  sluice_park(x, f, index, queue);
  int error = sluice_watch(x, f, op_at(x, index)->sqe.fd);
  if (error < 0) sluice_finish(x, index, error, 0);
}

// The ring's other operations use MSG_DONTWAIT; accept and connect have no such flag.
static int set_nonblocking(int fd) {
  int flags = SYS(fcntl, fd, F_GETFL);
  if (flags < 0) return -errno;
  return (flags & O_NONBLOCK) != 0 || SYS(fcntl, fd, F_SETFL, flags | O_NONBLOCK) == 0 ? 0 : -errno;
}

static void issue_read(struct epoll_executor *x, struct fd_state *f, uint32_t index) {
  const struct op *op = op_at(x, index);
  int fd = op->sqe.fd;
  bool accepts = op->sqe.opcode == IORING_OP_ACCEPT;
  if (accepts && (f->flags & FD_WATCHED) == 0) {
    int error = set_nonblocking(fd);
    if (error < 0) {
      sluice_finish(x, index, error, 0);
      return;
    }
  }
  if (!accepts && (op->sqe.ioprio & SLUICE_RECV_MULTISHOT) == 0 && (f->flags & FD_WATCHED) == 0) {
    f->flags |= FD_READABLE;  // perhaps: trying costs less than registering
    sluice_park(x, f, index, READERS);
  } else {
    park_and_watch(x, f, index, READERS);
  }
  if ((f->flags & FD_READABLE) != 0) sluice_mark_ready(x, fd);
}

static void issue_send(struct epoll_executor *x, struct fd_state *f, uint32_t index) {
  if (f->queue[WRITERS] != 0 && (op_at(x, index)->sqe.msg_flags & MSG_DONTWAIT) != 0) {
    sluice_finish(x, index, -EAGAIN, 0);
    return;
  }
  if (f->queue[WRITERS] != 0 || try_send(x, index) == BLOCKED) park_and_watch(x, f, index, WRITERS);
}

static void issue_connect(struct epoll_executor *x, struct fd_state *f, uint32_t index) {
  const struct io_uring_sqe *sqe = &op_at(x, index)->sqe;
  int error = set_nonblocking(sqe->fd);
  if (error == 0 && SYS(connect, sqe->fd, pointer(sqe->addr), (socklen_t)sqe->off) < 0) error = -errno;
  if (error == -EINPROGRESS || error == -EINTR) {
    park_and_watch(x, f, index, WRITERS);
  } else {
    sluice_finish(x, index, error, 0);
  }
}

static void issue_close(struct epoll_executor *x, struct fd_state *f, uint32_t index) {
  int fd = op_at(x, index)->sqe.fd;
  sluice_cancel_fd(x, f, true);
  sluice_fd_renew(fd);
  // Even if interrupted, the descriptor is gone: on Linux close() must never be repeated.
  int result = SYS_CLOSE(fd) < 0 && errno != EINTR ? -errno : 0;
  sluice_finish(x, index, result, 0);
}

static void issue_poll(struct epoll_executor *x, struct fd_state *f, uint32_t index) {
  const struct io_uring_sqe *sqe = &op_at(x, index)->sqe;
  if ((sqe->len & POLL_MULTI_AND_UPDATE) != 0) {
    sluice_finish(x, index, -EINVAL, 0);
    return;
  }
  struct pollfd now = {.fd = sqe->fd, .events = (short)sqe->poll32_events};
  if (SYS(poll, &now, 1, 0) > 0) {
    sluice_finish(x, index, (now.revents & POLLNVAL) != 0 ? -EBADF : now.revents, 0);
  } else {
    park_and_watch(x, f, index, POLLERS);
  }
}

static void issue_cancel(struct epoll_executor *x, uint32_t index) {
  const struct io_uring_sqe sqe = op_at(x, index)->sqe;
  bool all = (sqe.cancel_flags & CANCEL_ALL) != 0;
  int count;
  if ((sqe.cancel_flags & ~(CANCEL_ALL | CANCEL_FD)) != 0) {
    sluice_finish(x, index, -EINVAL, 0);
    return;
  }
  if ((sqe.cancel_flags & CANCEL_FD) != 0) {
    struct fd_state *f = sluice_fd_state(x, sqe.fd);
    count = f == NULL ? 0 : sluice_cancel_fd(x, f, all);
  } else {
    count = sluice_cancel_user_data(x, sqe.addr, all);
  }
  sluice_finish(x, index, all ? count : count > 0 ? 0 : -ENOENT, 0);
}

void sluice_issue(struct epoll_executor *x, uint32_t index) {
  const struct io_uring_sqe *sqe = &op_at(x, index)->sqe;
  struct fd_state *f = NULL;
  int result = -EINVAL;
  if ((sqe->flags & ~KNOWN_FLAGS) == 0) {
    switch (sqe->opcode) {
      case IORING_OP_NOP:
        result = 0;
        break;
      case SLUICE_OP_SHUTDOWN:
        result = SYS(shutdown, sqe->fd, (int)sqe->len) < 0 ? -errno : 0;
        break;
      case SLUICE_OP_MSG_RING:
        if (sqe->addr == MSG_DATA) result = sluice_mail_send(sqe->fd, sqe->off, (int32_t)sqe->len);
        break;
      case IORING_OP_ASYNC_CANCEL:
        issue_cancel(x, index);
        return;
      case IORING_OP_RECV:
      case IORING_OP_ACCEPT:
      case IORING_OP_SEND:
      case IORING_OP_SENDMSG:
      case IORING_OP_CONNECT:
      case IORING_OP_CLOSE:
      case IORING_OP_POLL_ADD:
        f = sluice_fd_state(x, sqe->fd);
        if (f == NULL) result = -EBADF;
        break;
    }
  }
  if (f == NULL) {
    sluice_finish(x, index, result, 0);
    return;
  }
  switch (sqe->opcode) {
    case IORING_OP_RECV:
    case IORING_OP_ACCEPT:
      issue_read(x, f, index);
      return;
    case IORING_OP_CONNECT:
      issue_connect(x, f, index);
      return;
    case IORING_OP_CLOSE:
      issue_close(x, f, index);
      return;
    case IORING_OP_POLL_ADD:
      issue_poll(x, f, index);
      return;
    default:
      issue_send(x, f, index);
  }
}
