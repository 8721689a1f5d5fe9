#include "socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "ring.h"
#include "sys.h"

// linux/netfilter_ipv4.h and netfilter_ipv6/ip6_tables.h: SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST
#define ORIGINAL_DESTINATION 80

socklen_t sluice_parse_address(const char *host, uint16_t port, struct sockaddr_storage *into) {
  memset(into, 0, sizeof *into);
  struct sockaddr_in *v4 = (struct sockaddr_in *)into;
  if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    return sizeof *v4;
  }
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)into;
  char address[INET6_ADDRSTRLEN];
  const char *scope = strchr(host, '%');
  size_t length = scope == NULL ? strlen(host) : (size_t)(scope - host);
  if (length >= sizeof address) return 0;
  memcpy(address, host, length);
  address[length] = '\0';
  if (inet_pton(AF_INET6, address, &v6->sin6_addr) != 1) return 0;
  if (scope != NULL) {
    v6->sin6_scope_id = if_nametoindex(scope + 1);
    char *end;
    unsigned long number = strtoul(scope + 1, &end, 10);
    if (v6->sin6_scope_id == 0 && *end == '\0' && number <= UINT32_MAX) v6->sin6_scope_id = (uint32_t)number;
    if (v6->sin6_scope_id == 0) return 0;
  }
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(port);
  return sizeof *v6;
}

static int set_option(int fd, int level, int name, int value) {
  return SYS(setsockopt, fd, level, name, &value, sizeof value);
}

// Sends small writes at once and detects dead peers. Set on a listener; accepted sockets inherit all of it.
//
// TCP_USER_TIMEOUT is not set: the kernel also applies it to a peer whose window is zero, even if that answers every probe, and so closes
// readers that merely pause. `sluice_unanswered` replaces it. For an idle connection the number of keep-alive probes determines when it is
// given up: as many as fit in the user timeout, as with that option.
static int set_stream_options(int fd, uint32_t keep_alive_ms, uint32_t user_timeout_ms) {
  if (set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) < 0) return -1;
  // Urgent data stays in line: otherwise its byte would be missing from relayed data.
  if (set_option(fd, SOL_SOCKET, SO_OOBINLINE, 1) < 0) return -1;
  if (keep_alive_ms > 0) {
    int seconds = (int)((keep_alive_ms + UINT64_C(999)) / 1000);
    if (seconds > 32767) seconds = 32767;  // the kernel's MAX_TCP_KEEPIDLE
    if (set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1) < 0) return -1;
    if (set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds) < 0) return -1;
    if (set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, seconds) < 0) return -1;
    uint64_t probes = (user_timeout_ms + (uint64_t)seconds * 1000 - 1) / ((uint64_t)seconds * 1000);
    if (probes > 127) probes = 127;  // the kernel's MAX_TCP_KEEPCNT
    if (probes > 0 && set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, (int)probes) < 0) return -1;
  }
  return 0;
}

static int abandon(int fd) {
  int error = -errno;
  SYS_CLOSE(fd);
  return error;
}

// Blocking on purpose: io_uring fails an ACCEPT on a non-blocking listener with EAGAIN instead of waiting. The epoll executor sets
// O_NONBLOCK itself when it first accepts.
//
// A socket with SO_REUSEPORT shares its port with all others of this user that have it, even in other processes. So the first socket is
// bound without it, which fails if anybody has the port. It gets the option before it listens, so that our later ones can join.
int sluice_listen(const char *host, uint16_t port, int backlog, uint32_t sharing, uint32_t keep_alive_ms,
                  uint32_t user_timeout_ms, const char **call) {
  struct sockaddr_storage address;
  socklen_t length = sluice_parse_address(host, port, &address);
  *call = "bind";
  if (length == 0) return -EINVAL;
  *call = "socket";
  int fd = SYS(socket, address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  sluice_fd_renew(fd);
  *call = "setsockopt";
  if (set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) < 0) return abandon(fd);
  if (sharing == SLUICE_PORT_SHARED && set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0) return abandon(fd);
  if (set_stream_options(fd, keep_alive_ms, user_timeout_ms) < 0) return abandon(fd);
  // "::" means every address of both families, whatever net.ipv6.bindv6only is.
  const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address;
  if (address.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr) &&
      set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0) < 0) {
    return abandon(fd);
  }
  *call = "bind";
  if (SYS(bind, fd, (const struct sockaddr *)&address, length) < 0) return abandon(fd);
  if (sharing == SLUICE_PORT_FIRST && set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0) return abandon(fd);
  *call = "listen";
  if (SYS(listen, fd, backlog) < 0) return abandon(fd);
  return fd;
}

// Drops segments with SYN and without ACK; everything else passes, so handshakes in flight still reach the queue. A filter on a TCP socket
// sees the segment from its TCP header on; byte 13 holds the flags. Connections accepted from now on inherit the filter, so it must not
// drop anything else (a RST may come without ACK).
int sluice_refuse(int fd) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0),
      BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
  };
  struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
  return SYS(setsockopt, fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0 ? -errno : 0;
}

// Blocking, like accepted sockets: io_uring waits only on these; the epoll executor sets what connect() needs.
int sluice_socket(int family, uint32_t keep_alive_ms, uint32_t user_timeout_ms) {
  if (family != 4 && family != 6) return -EAFNOSUPPORT;
  int fd = SYS(socket, family == 6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  sluice_fd_renew(fd);
  return set_stream_options(fd, keep_alive_ms, user_timeout_ms) < 0 ? abandon(fd) : fd;
}

int sluice_shutdown(int fd, int how) { return SYS(shutdown, fd, how) < 0 ? -errno : 0; }

int sluice_close(int fd) {
  sluice_fd_renew(fd);
  return SYS_CLOSE(fd) < 0 && errno != EINTR ? -errno : 0;
}

int sluice_reset_on_close(int fd) {
  struct linger linger = {.l_onoff = 1, .l_linger = 0};
  return SYS(setsockopt, fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) < 0 ? -errno : 0;
}

int sluice_nonblock(int fd, bool on) {
  int flags = SYS(fcntl, fd, F_GETFL);
  if (flags < 0) return -errno;
  int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  return wanted == flags || SYS(fcntl, fd, F_SETFL, wanted) == 0 ? 0 : -errno;
}

// Unacknowledged segments are retransmitted within the retransmission timeout, and a closed window is probed; in both cases any answer
// counts as contact. Between two probes (up to two minutes) nothing is outstanding.
int sluice_unanswered(int fd) {
  struct tcp_info info;
  socklen_t length = sizeof info;
  memset(&info, 0, sizeof info);
  if (SYS(getsockopt, fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0) return SLUICE_ALL_ACKNOWLEDGED;
  if (info.tcpi_unacked > 0 || info.tcpi_probes > 0) {
    return info.tcpi_last_ack_recv > INT32_MAX ? INT32_MAX : (int)info.tcpi_last_ack_recv;
  }
  int waiting = 0;
  if (SYS(ioctl, fd, SIOCOUTQ, &waiting) < 0 || waiting == 0) return SLUICE_ALL_ACKNOWLEDGED;
  return SLUICE_WINDOW_CLOSED;
}

int sluice_peek(int fd, void *into, size_t length) {
  ssize_t got;
  do {
    got = SYS(recv, fd, into, length, MSG_PEEK | MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  return got < 0 ? -errno : (int)got;
}

int sluice_local_port(int fd) {
  struct sockaddr_storage address = {0};
  socklen_t length = sizeof address;
  if (SYS(getsockname, fd, (struct sockaddr *)&address, &length) < 0) return -errno;
  if (address.ss_family == AF_INET) return ntohs(((const struct sockaddr_in *)&address)->sin_port);
  if (address.ss_family == AF_INET6) return ntohs(((const struct sockaddr_in6 *)&address)->sin6_port);
  return -EAFNOSUPPORT;
}

// Where nobody listens on a port of this host that is one of those the kernel gives to connections (ip_local_port_range), it may give that
// very port to the connection to it. Its SYN then meets itself, which is a simultaneous open (RFC 9293 section 3.5): the connection stands,
// and echoes.
bool sluice_connected_to_itself(int fd) {
  struct sockaddr_storage here = {0}, there = {0};
  socklen_t length = sizeof here, length_there = sizeof there;
  if (SYS(getsockname, fd, (struct sockaddr *)&here, &length) < 0) return false;
  if (SYS(getpeername, fd, (struct sockaddr *)&there, &length_there) < 0) return false;
  if (here.ss_family == AF_INET6) {
    const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)&here, *b = (const struct sockaddr_in6 *)&there;
    return a->sin6_port == b->sin6_port && memcmp(&a->sin6_addr, &b->sin6_addr, sizeof a->sin6_addr) == 0;
  }
  const struct sockaddr_in *a = (const struct sockaddr_in *)&here, *b = (const struct sockaddr_in *)&there;
  return a->sin_port == b->sin_port && a->sin_addr.s_addr == b->sin_addr.s_addr;
}

static void format_name(const struct sockaddr_storage *address, char name[SLUICE_NAME_MAX]) {
  char text[INET6_ADDRSTRLEN], scope[IF_NAMESIZE + 1] = "";
  const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
  const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
  name[0] = '\0';
  if (address->ss_family == AF_INET) {
    inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
    snprintf(name, SLUICE_NAME_MAX, "%s:%u", text, ntohs(v4->sin_port));
  } else if (address->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
    inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], text, sizeof text);
    snprintf(name, SLUICE_NAME_MAX, "%s:%u", text, ntohs(v6->sin6_port));
  } else if (address->ss_family == AF_INET6) {
    inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
    if (v6->sin6_scope_id != 0) snprintf(scope, sizeof scope, "%%%u", v6->sin6_scope_id);
    snprintf(name, SLUICE_NAME_MAX, "[%s%s]:%u", text, scope, ntohs(v6->sin6_port));
  }
}

void sluice_peer_name(int fd, char name[SLUICE_NAME_MAX]) {
  struct sockaddr_storage address = {0};
  socklen_t length = sizeof address;
  name[0] = '\0';
  if (SYS(getpeername, fd, (struct sockaddr *)&address, &length) == 0) format_name(&address, name);
}

void sluice_local_name(int fd, char name[SLUICE_NAME_MAX]) {
  struct sockaddr_storage address = {0};
  socklen_t length = sizeof address;
  name[0] = '\0';
  if (SYS(getsockname, fd, (struct sockaddr *)&address, &length) == 0) format_name(&address, name);
}

socklen_t sluice_original_sockaddr(int fd, struct sockaddr_storage *original) {
  struct sockaddr_storage local = {0};
  socklen_t length = sizeof local;
  memset(original, 0, sizeof *original);
  if (SYS(getsockname, fd, (struct sockaddr *)&local, &length) < 0) return 0;
  const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&local;
  bool is_v6 = local.ss_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr);
  length = sizeof *original;
  if (SYS(getsockopt, fd, is_v6 ? IPPROTO_IPV6 : IPPROTO_IP, ORIGINAL_DESTINATION, original, &length) < 0) return 0;
  // The kernel fills in this connection's flow label, which is not part of an address.
  if (original->ss_family == AF_INET6) ((struct sockaddr_in6 *)original)->sin6_flowinfo = 0;
  // With connection tracking on, the kernel answers for every connection; if it names this very socket, nothing was redirected.
  char here[SLUICE_NAME_MAX], there[SLUICE_NAME_MAX];
  format_name(&local, here);
  format_name(original, there);
  if (strcmp(here, there) == 0) return 0;
  return original->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

void sluice_original_destination(int fd, char name[SLUICE_NAME_MAX]) {
  struct sockaddr_storage original;
  name[0] = '\0';
  if (sluice_original_sockaddr(fd, &original) > 0) format_name(&original, name);
}
