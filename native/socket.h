// Sockets outside the ring: operations once per connection or per listener. They return descriptors or lengths, or -errno.
#ifndef SLUICE_SOCKET_H
#define SLUICE_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

// "[" + IPv6 with scope + "]:65535"
#define SLUICE_NAME_MAX 80

// Address bytes of a numeric host; an IPv6 host may name its scope ("fe80::1%eth0"). 0 if the host is not numeric.
socklen_t sluice_parse_address(const char *host, uint16_t port, struct sockaddr_storage *into);
enum {
  SLUICE_PORT_ALONE,   // nobody shares the port, now or later
  SLUICE_PORT_SHARED,  // shared with those that share it already, and later ones
  SLUICE_PORT_FIRST,   // nobody shares it yet; later ones may
};
// `call` receives the name of a failed system call. 0 for `keep_alive_ms` or `user_timeout_ms` keeps the default; the latter is how long an
// idle peer's keep-alive probes may go unanswered.
int sluice_listen(const char *host, uint16_t port, int backlog, uint32_t sharing, uint32_t keep_alive_ms,
                  uint32_t user_timeout_ms, const char **call);
int sluice_refuse(int fd);
int sluice_socket(int family, uint32_t keep_alive_ms, uint32_t user_timeout_ms);
int sluice_shutdown(int fd, int how);
int sluice_close(int fd);
int sluice_reset_on_close(int fd);
int sluice_nonblock(int fd, bool on);
// Whether the peer of a connected socket is the socket itself.
bool sluice_connected_to_itself(int fd);
int sluice_local_port(int fd);
// Milliseconds since the peer last acknowledged anything, while sent data is unacknowledged. Otherwise one of these: nothing is
// unacknowledged, and perhaps nothing waits at all.
#define SLUICE_ALL_ACKNOWLEDGED (-1)
#define SLUICE_WINDOW_CLOSED (-2)
int sluice_unanswered(int fd);
int sluice_peek(int fd, void *into, size_t length);
// Each writes "ip:port" or "[ip6]:port"; "" if there is none. IPv4 mapped into IPv6 is written as IPv4.
void sluice_peer_name(int fd, char name[SLUICE_NAME_MAX]);
void sluice_local_name(int fd, char name[SLUICE_NAME_MAX]);
// The connection's destination before netfilter redirected it, as a sockaddr; returns its length, 0 if it was not redirected.
socklen_t sluice_original_sockaddr(int fd, struct sockaddr_storage *original);
// The same as a name; "" if it was not redirected.
void sluice_original_destination(int fd, char name[SLUICE_NAME_MAX]);

#endif
