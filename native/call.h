// Arguments, results and errors of a call from JavaScript.
#ifndef SLUICE_CALL_H
#define SLUICE_CALL_H
#include <math.h>
#include <node_api.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <uv.h>

struct thread;

#define MAX_ARGS 7

// Arguments of a call, read leniently: anything but a number reads as 0, anything but a string as "".
struct call {
  napi_env env;
  struct thread *thread;
  napi_value values[MAX_ARGS];
};

struct function {
  const char *name;
  napi_value (*body)(struct call *call);
};

static inline int32_t int_arg(const struct call *call, int index) {
  int32_t value = 0;
  napi_get_value_int32(call->env, call->values[index], &value);
  return value;
}
static inline uint32_t uint_arg(const struct call *call, int index) {
  uint32_t value = 0;
  napi_get_value_uint32(call->env, call->values[index], &value);
  return value;
}
// Any number, including Infinity, clamped to the range of int64_t.
static inline int64_t long_arg(const struct call *call, int index) {
  double value = 0;
  napi_get_value_double(call->env, call->values[index], &value);
  return isnan(value) ? 0 : value >= 9e18 ? INT64_MAX : value <= -9e18 ? INT64_MIN : (int64_t)value;
}
static inline bool bool_arg(const struct call *call, int index) {
  bool value = false;
  napi_get_value_bool(call->env, call->values[index], &value);
  return value;
}
static inline void string_arg(const struct call *call, int index, char *into, size_t size) {
  into[0] = '\0';
  napi_get_value_string_utf8(call->env, call->values[index], into, size, NULL);
}
// Elements of a typed array of this type; NULL and length 0 for anything else.
static inline void *array_arg(const struct call *call, int index, napi_typedarray_type wanted, size_t *length) {
  void *elements = NULL;
  napi_typedarray_type type = wanted;
  bool typed = false;
  *length = 0;
  napi_is_typedarray(call->env, call->values[index], &typed);
  if (typed) napi_get_typedarray_info(call->env, call->values[index], &type, length, &elements, NULL, NULL);
  if (type == wanted) return elements;
  *length = 0;
  return NULL;
}

static inline napi_value from_int(napi_env env, int32_t value) {
  napi_value result = NULL;
  napi_create_int32(env, value, &result);
  return result;
}
static inline napi_value reply(const struct call *call, int32_t value) { return from_int(call->env, value); }
static inline napi_value from_double(napi_env env, double value) {
  napi_value result = NULL;
  napi_create_double(env, value, &result);
  return result;
}
static inline napi_value from_string(napi_env env, const char *value) {
  napi_value result = NULL;
  napi_create_string_utf8(env, value, NAPI_AUTO_LENGTH, &result);
  return result;
}
static inline void set(napi_env env, napi_value object, const char *key, napi_value value) {
  napi_set_named_property(env, object, key, value);
}

// Throws like Node's own system errors: "listen tcp 127.0.0.1:80: EACCES (permission denied)", code, syscall, errno.
static inline napi_value throw_system(napi_env env, const char *what, const char *call, int error) {
  char name[64], reason[128], message[384];
  uv_err_name_r(error, name, sizeof name);
  uv_strerror_r(error, reason, sizeof reason);
  snprintf(message, sizeof message, "%s: %s (%s)", what, name, reason);
  napi_value exception = NULL, code = from_string(env, name);
  napi_create_error(env, code, from_string(env, message), &exception);
  set(env, exception, "syscall", from_string(env, call));
  set(env, exception, "errno", from_int(env, error));
  napi_throw(env, exception);
  return NULL;
}

#endif
