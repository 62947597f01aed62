/*
 * What the files of binding/ share. Only they include node_api.h; each registers its functions on
 * the addon's exports, in the order of src/native/bindings.ts.
 */
#ifndef WEFT_BINDING_H
#define WEFT_BINDING_H

#define NAPI_VERSION 8
#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Returns NULL from the calling function, with an exception pending, when `call` failed. */
#define BINDING_TRY(env, call)                                                                     \
    do {                                                                                           \
        if ((call) != napi_ok) {                                                                   \
            binding_throw_last(env);                                                               \
            return NULL;                                                                           \
        }                                                                                          \
    } while (0)

/* Adds open, start, pause, replaceTables, stop, advanced, readCounters, readPeerCounters, onEvents, capabilities. */
napi_status binding_register_dataplane(napi_env env, napi_value exports);

/* Adds captureStart, captureRead, captureStop, trace. */
napi_status binding_register_inspect(napi_env env, napi_value exports);

/* Adds netlink, sendDatagram, bindDatagram, receiveDescriptors, lockFile. */
napi_status binding_register_system(napi_env env, napi_value exports);

/*
 * Throws an Error of Node's shape: message "EBUSY: Device or resource busy, ioctl TUNSETIFF",
 * `code` "EBUSY", `errno` -16, `syscall` "ioctl TUNSETIFF". `err` is a positive errno. Returns
 * NULL, so that a callback can end with it.
 */
napi_value binding_throw_errno(napi_env env, int err, const char *syscall);

/* Makes a failed Node-API call visible as an exception unless one is already pending. */
void binding_throw_last(napi_env env);

/*
 * Views the bytes of a Uint8Array (a Buffer is one); valid while the callback runs. Throws a
 * TypeError and returns false for any other value.
 */
bool binding_get_bytes(napi_env env, napi_value value, const uint8_t **bytes, size_t *length);

/* The first `wanted` arguments of a call; throws and returns false when there are fewer. */
bool binding_get_arguments(napi_env env, napi_callback_info info, napi_value *values,
                           size_t wanted);

/* The engine that open() returned; throws and returns null for other values and when it has been stopped. */
struct engine *binding_get_engine(napi_env env, napi_value value);

/* Sets a property; a null text becomes null. */
void binding_set_string(napi_env env, napi_value object, const char *name, const char *text);
void binding_set_number(napi_env env, napi_value object, const char *name, uint32_t number);
void binding_set_boolean(napi_env env, napi_value object, const char *name, bool yes);

napi_value binding_undefined(napi_env env);

#endif
