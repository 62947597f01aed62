/* Errors, argument checks and plain values in the form in which JavaScript code expects them from Node itself. */
#include "binding.h"

#include <stdio.h>
#include <string.h>

napi_value binding_throw_errno(napi_env env, int err, const char *syscall)
{
    const char *name = strerrorname_np(err);
    char code[32];
    char message[256];
    napi_value error, code_value, message_value, number, syscall_value;

    snprintf(code, sizeof(code), "%s", name != NULL ? name : "UNKNOWN");
    snprintf(message, sizeof(message), "%s: %s, %s", code, strerror(err), syscall);
    BINDING_TRY(env, napi_create_string_utf8(env, code, NAPI_AUTO_LENGTH, &code_value));
    BINDING_TRY(env, napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &message_value));
    BINDING_TRY(env, napi_create_error(env, code_value, message_value, &error));
    BINDING_TRY(env, napi_create_int32(env, -err, &number));
    BINDING_TRY(env, napi_set_named_property(env, error, "errno", number));
    BINDING_TRY(env, napi_create_string_utf8(env, syscall, NAPI_AUTO_LENGTH, &syscall_value));
    BINDING_TRY(env, napi_set_named_property(env, error, "syscall", syscall_value));
    BINDING_TRY(env, napi_throw(env, error));
    return NULL;
}

void binding_throw_last(napi_env env)
{
    const napi_extended_error_info *info = NULL;
    const char *message;
    bool pending = false;

    if (napi_get_last_error_info(env, &info) != napi_ok)
        return;
    message = info->error_message; /* The next call overwrites what `info` points to. */
    if (napi_is_exception_pending(env, &pending) == napi_ok && !pending)
        napi_throw_error(env, NULL, message != NULL ? message : "Node-API call failed");
}

bool binding_get_bytes(napi_env env, napi_value value, const uint8_t **bytes, size_t *length)
{
    napi_typedarray_type type = napi_int8_array;
    void *data = NULL;
    bool typed = false;

    if (napi_is_typedarray(env, value, &typed) != napi_ok || !typed ||
        napi_get_typedarray_info(env, value, &type, length, &data, NULL, NULL) != napi_ok ||
        type != napi_uint8_array) {
        napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "expected a Uint8Array");
        return false;
    }
    *bytes = data;
    return true;
}

bool binding_get_arguments(napi_env env, napi_callback_info info, napi_value *values, size_t wanted)
{
    size_t n = wanted;
    if (napi_get_cb_info(env, info, &n, values, NULL, NULL) != napi_ok || n < wanted) {
        napi_throw_type_error(env, "ERR_MISSING_ARGS", "too few arguments");
        return false;
    }
    return true;
}

void binding_set_string(napi_env env, napi_value object, const char *name, const char *text)
{
    napi_value value;
    if (text == NULL)
        napi_get_null(env, &value);
    else
        napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value);
    napi_set_named_property(env, object, name, value);
}

void binding_set_number(napi_env env, napi_value object, const char *name, uint32_t number)
{
    napi_value value;
    napi_create_uint32(env, number, &value);
    napi_set_named_property(env, object, name, value);
}

void binding_set_boolean(napi_env env, napi_value object, const char *name, bool yes)
{
    napi_value value;
    napi_get_boolean(env, yes, &value);
    napi_set_named_property(env, object, name, value);
}

napi_value binding_undefined(napi_env env)
{
    napi_value value = NULL;
    napi_get_undefined(env, &value);
    return value;
}
