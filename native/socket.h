// Sockets outside of the ring: everything that happens once per connection or once per listener. Results are
// descriptors or lengths, or -errno.
#ifndef SLUICE_SOCKET_H
#define SLUICE_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

// "[" + IPv6 with scope + "]:65535"
#define SLUICE_NAME_MAX 80

// Address bytes of a numeric host; an IPv6 host may name its scope ("fe80::1%eth0"). 0 if it is no numeric address.
socklen_t sluice_parse_address(const char *host, uint16_t port, struct sockaddr_storage *into);
enum {
  SLUICE_PORT_ALONE,   // nobody shares the port, nor will
  SLUICE_PORT_SHARED,  // with those that share it already, and with later ones
  SLUICE_PORT_FIRST,   // nobody shares it yet, later ones may
};
// `call` receives the system call that failed. `keep_alive_ms` and `user_timeout_ms` of 0 leave the defaults; the latter is how long an
// idle peer's keep-alive probes may go unanswered.
int sluice_listen(const char *host, uint16_t port, int backlog, uint32_t sharing, uint32_t keep_alive_ms,
                  uint32_t user_timeout_ms, const char **call);
int sluice_refuse(int fd);
int sluice_socket(int family, uint32_t keep_alive_ms, uint32_t user_timeout_ms);
int sluice_shutdown(int fd, int how);
int sluice_close(int fd);
int sluice_reset_on_close(int fd);
int sluice_nonblock(int fd, bool on);
int sluice_local_port(int fd);
// Milliseconds since the peer was last heard to acknowledge anything, while something that was sent to it has not been answered. Else one of
// these: nothing waits for an answer, and perhaps nothing waits at all.
#define SLUICE_ALL_ACKNOWLEDGED (-1)
#define SLUICE_WINDOW_CLOSED (-2)
int sluice_unanswered(int fd);
int sluice_peek(int fd, void *into, size_t length);
// Each writes "ip:port" or "[ip6]:port"; "" where there is none. IPv4 mapped into IPv6 is written as IPv4.
void sluice_peer_name(int fd, char name[SLUICE_NAME_MAX]);
void sluice_local_name(int fd, char name[SLUICE_NAME_MAX]);
// Where the connection was going before netfilter redirected it here, as a sockaddr; its length, 0 if it was not redirected.
socklen_t sluice_original_sockaddr(int fd, struct sockaddr_storage *original);
// The same as a name; "" if it was not redirected.
void sluice_original_destination(int fd, char name[SLUICE_NAME_MAX]);

#endif
