#include "host.h"

#include <stdlib.h>

struct sluice_host {
  napi_env env;
  napi_ref step;
  napi_async_context context;
  uv_loop_t *loop;
  uv_prepare_t prepare;
  uv_idle_t idle;
  struct sluice_host **slot;
  bool in_step, stopped;
  int open_handles;
};

enum { LET_LIBUV_RUN = 1, FAILED = -1 };

// Watchers started since libuv's last turn are not in its epoll set yet, so its descriptor would not report them. Since libuv 1.44,
// uv_backend_timeout() is 0 while there are any; before, only its private queue could tell.
#if UV_VERSION_HEX < 0x012c00
#error "libuv 1.44 or later is needed: Node.js 20.19 and later come with one"
#endif

int sluice_uv_timeout(uv_loop_t *loop) {
  uv_update_time(loop);
  return uv_backend_timeout(loop);
}

// Returns what `step` returned, or FAILED. napi_make_callback runs the microtasks before it returns.
static int call_step(struct sluice_host *host) {
  napi_env env = host->env;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return FAILED;
  napi_value step, global, result = NULL;
  int32_t value = FAILED;
  if (napi_get_reference_value(env, host->step, &step) == napi_ok && napi_get_global(env, &global) == napi_ok &&
      napi_make_callback(env, host->context, global, step, 0, NULL, &result) == napi_ok && result != NULL &&
      napi_get_value_int32(env, result, &value) != napi_ok) {
    value = LET_LIBUV_RUN;  // not a number: treat it as "let libuv run"
  }
  bool pending = false;
  napi_value error = NULL;
  napi_valuetype type = napi_undefined;
  // A worker that is being terminated also ends here, but without an exception value.
  if (napi_is_exception_pending(env, &pending) == napi_ok && pending &&
      napi_get_and_clear_last_exception(env, &error) == napi_ok && error != NULL &&
      napi_typeof(env, error, &type) == napi_ok && type != napi_undefined) {
    napi_fatal_exception(env, error);
    value = FAILED;
  }
  napi_close_handle_scope(env, scope);
  return value;
}

static void release(struct sluice_host *host) {
  napi_delete_reference(host->env, host->step);
  napi_async_destroy(host->env, host->context);
}

static void on_idle(uv_idle_t *handle) { (void)handle; }

static void on_prepare(uv_prepare_t *handle) {
  struct sluice_host *host = handle->data;
  uv_idle_stop(&host->idle);
  for (;;) {
    host->in_step = true;
    int value = call_step(host);
    host->in_step = false;
    if (host->stopped) {
      release(host);
      return;
    }
    if (value == FAILED) {
      sluice_host_stop(host, true);
      return;
    }
    if (value != 0 || sluice_uv_timeout(host->loop) == 0) break;
  }
  // An active idle handle keeps libuv from sleeping in its own poll: the ring does the sleeping.
  uv_idle_start(&host->idle, on_idle);
}

static void on_closed(uv_handle_t *handle) {
  struct sluice_host *host = handle->data;
  if (--host->open_handles == 0) free(host);
}

void sluice_host_start(napi_env env, uv_loop_t *loop, napi_value step, struct sluice_host **slot) {
  struct sluice_host *host = calloc(1, sizeof *host);
  napi_value name, resource;
  if (host == NULL) {
    napi_throw_error(env, "ENOMEM", "run: out of memory");
    return;
  }
  host->env = env;
  host->loop = loop;
  host->slot = slot;
  if (napi_create_string_utf8(env, "sluice.ring", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_object(env, &resource) != napi_ok || napi_create_reference(env, step, 1, &host->step) != napi_ok) {
    free(host);
    napi_throw_error(env, NULL, "run: step is not a function");
    return;
  }
  if (napi_async_init(env, resource, name, &host->context) != napi_ok) {
    napi_delete_reference(env, host->step);
    free(host);
    napi_throw_error(env, NULL, "run: no async context");
    return;
  }
  uv_prepare_init(loop, &host->prepare);
  uv_idle_init(loop, &host->idle);
  host->prepare.data = host->idle.data = host;
  host->open_handles = 2;
  uv_prepare_start(&host->prepare, on_prepare);
  uv_idle_start(&host->idle, on_idle);
  *slot = host;
}

void sluice_host_stop(struct sluice_host *host, bool env_alive) {
  if (host->stopped) return;
  host->stopped = true;
  *host->slot = NULL;
  if (env_alive && !host->in_step) release(host);
  // A handle left open when the loop of a terminated worker is closed aborts the process.
  uv_close((uv_handle_t *)&host->prepare, on_closed);
  uv_close((uv_handle_t *)&host->idle, on_closed);
}
