// Hosts a JavaScript loop inside libuv's: a prepare handle calls `step` repeatedly until it asks to let libuv run a turn.
#ifndef SLUICE_HOST_H
#define SLUICE_HOST_H

#include <node_api.h>
#include <uv.h>

struct sluice_host;

// Milliseconds until libuv has something to do, -1 never, 0 now; also 0 while watchers wait to be added to its epoll set.
int sluice_uv_timeout(uv_loop_t *loop);
// Sets *slot while the hosting lasts (it also ends when `step` throws). On failure an exception is pending.
void sluice_host_start(napi_env env, uv_loop_t *loop, napi_value step, struct sluice_host **slot);
// May be called from inside `step`, and from an environment cleanup hook (`env_alive` false).
void sluice_host_stop(struct sluice_host *host, bool env_alive);

#endif
