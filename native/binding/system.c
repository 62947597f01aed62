/* The system functions of src/native/bindings.ts: netlink, datagrams, lockFile. */
#include "binding.h"

#include "../sys/lockfile.h"
#include "../sys/netlink.h"
#include "../sys/unixdgram.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* The array of Uint8Array that netlink() returns, while it grows. */
struct answer {
    napi_env env;
    napi_value datagrams;
    uint32_t count;
};

/* Result of append_datagram when Node-API failed; no errno has it. */
enum { NODE_API_FAILED = 1 };

static int append_datagram(void *context, const void *datagram, size_t length)
{
    struct answer *answer = context;
    napi_env env = answer->env;
    napi_value buffer, array;
    void *bytes;

    if (napi_create_arraybuffer(env, length, &bytes, &buffer) != napi_ok)
        return NODE_API_FAILED;
    memcpy(bytes, datagram, length);
    if (napi_create_typedarray(env, napi_uint8_array, length, buffer, 0, &array) != napi_ok ||
        napi_set_element(env, answer->datagrams, answer->count++, array) != napi_ok)
        return NODE_API_FAILED;
    return 0;
}

static napi_value netlink(napi_env env, napi_callback_info info)
{
    struct answer answer = {.env = env};
    size_t count = 2, length = 0;
    const uint8_t *request = NULL;
    int32_t protocol = 0;
    napi_value arguments[2];
    int result;

    BINDING_TRY(env, napi_get_cb_info(env, info, &count, arguments, NULL, NULL));
    BINDING_TRY(env, napi_get_value_int32(env, arguments[0], &protocol));
    if (!binding_get_bytes(env, arguments[1], &request, &length))
        return NULL;
    BINDING_TRY(env, napi_create_array(env, &answer.datagrams));

    result = netlink_exchange(protocol, request, length, append_datagram, &answer);
    if (result == NODE_API_FAILED) {
        binding_throw_last(env);
        return NULL;
    }
    return result < 0 ? binding_throw_errno(env, -result, "netlink") : answer.datagrams;
}

/* Copies a path argument; throws and returns false when it is no string, too long, or holds a NUL.
 */
static bool get_path(napi_env env, napi_value value, char path[PATH_MAX])
{
    size_t length = 0;

    if (napi_get_value_string_utf8(env, value, path, PATH_MAX, &length) != napi_ok ||
        length == PATH_MAX - 1 || strlen(path) != length) {
        napi_throw_type_error(env, "ERR_INVALID_ARG_VALUE", "expected a path");
        return false;
    }
    return true;
}

static napi_value send_datagram(napi_env env, napi_callback_info info)
{
    char path[PATH_MAX];
    size_t length = 0;
    uint32_t count = 0;
    const uint8_t *data = NULL;
    napi_value arguments[3], number;
    int fds[UNIXDGRAM_FDS];
    int result;

    if (!binding_get_arguments(env, info, arguments, 3) || !get_path(env, arguments[0], path) ||
        !binding_get_bytes(env, arguments[1], &data, &length))
        return NULL;
    BINDING_TRY(env, napi_get_array_length(env, arguments[2], &count));
    if (count > UNIXDGRAM_FDS)
        return binding_throw_errno(env, E2BIG, "sendmsg");
    for (uint32_t i = 0; i < count; i++) {
        BINDING_TRY(env, napi_get_element(env, arguments[2], i, &number));
        BINDING_TRY(env, napi_get_value_int32(env, number, &fds[i]));
    }
    result = unixdgram_send(path, data, length, fds, count);
    return result < 0 ? binding_throw_errno(env, -result, "sendmsg") : NULL;
}

/* Calls a function that makes a descriptor from a path. */
static napi_value open_path(napi_env env, napi_callback_info info, int (*open)(const char *),
                            const char *syscall)
{
    char path[PATH_MAX];
    napi_value argument, number;
    int fd;

    if (!binding_get_arguments(env, info, &argument, 1) || !get_path(env, argument, path))
        return NULL;
    fd = open(path);
    if (fd < 0)
        return binding_throw_errno(env, -fd, syscall);
    BINDING_TRY(env, napi_create_int32(env, fd, &number));
    return number;
}

static napi_value bind_datagram(napi_env env, napi_callback_info info)
{
    return open_path(env, info, unixdgram_bind, "bind");
}

static napi_value receive_descriptors(napi_env env, napi_callback_info info)
{
    int fds[UNIXDGRAM_FDS];
    int32_t fd = -1;
    napi_value argument, list, number;

    if (!binding_get_arguments(env, info, &argument, 1))
        return NULL;
    BINDING_TRY(env, napi_get_value_int32(env, argument, &fd));
    int count = unixdgram_receive_fds(fd, fds);
    if (count < 0)
        return binding_throw_errno(env, -count, "recvmsg");
    BINDING_TRY(env, napi_create_array(env, &list));
    for (int i = 0; i < count; i++) {
        BINDING_TRY(env, napi_create_int32(env, fds[i], &number));
        BINDING_TRY(env, napi_set_element(env, list, (uint32_t)i, number));
    }
    return list;
}

static napi_value lock_file(napi_env env, napi_callback_info info)
{
    return open_path(env, info, lockfile_acquire, "lock");
}

static napi_value checksum(napi_env env, napi_callback_info info)
{
    napi_value argument, result;
    const uint8_t *bytes;
    size_t length;
    if (!binding_get_arguments(env, info, &argument, 1) ||
        !binding_get_bytes(env, argument, &bytes, &length))
        return NULL;
    uint64_t sum = 0xcbf29ce484222325; /* RFC 9923 section 5 */
    for (size_t i = 0; i < length; i++)
        sum = (sum ^ bytes[i]) * 0x100000001b3;
    BINDING_TRY(env, napi_create_bigint_uint64(env, sum, &result));
    return result;
}

napi_status binding_register_system(napi_env env, napi_value exports)
{
    static const napi_property_descriptor functions[] = {
        {.utf8name = "netlink", .method = netlink, .attributes = napi_enumerable},
        {.utf8name = "sendDatagram", .method = send_datagram, .attributes = napi_enumerable},
        {.utf8name = "bindDatagram", .method = bind_datagram, .attributes = napi_enumerable},
        {.utf8name = "receiveDescriptors",
         .method = receive_descriptors,
         .attributes = napi_enumerable},
        {.utf8name = "lockFile", .method = lock_file, .attributes = napi_enumerable},
        {.utf8name = "checksum", .method = checksum, .attributes = napi_enumerable},
    };

    return napi_define_properties(env, exports, sizeof(functions) / sizeof(functions[0]),
                                  functions);
}
