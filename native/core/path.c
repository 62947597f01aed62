/* Learning a path's MTU. */
#include "path.h"

bool path_learn(struct path *path, int family, uint32_t mtu, bool certain, uint64_t now_ms)
{
    uint32_t known = path_mtu(path, now_ms);
    uint32_t least = family == 4 ? PATH_MTU_MIN4 : PATH_MTU_MIN6;
    if (mtu == 0) /* a router from before RFC 1191 */
        return false;
    if (!certain && mtu < least)
        mtu = least;
    if (!certain && known != 0 && mtu > known)
        return false;
    atomic_store_explicit(&path->learned_ms, now_ms, memory_order_relaxed);
    atomic_store_explicit(&path->mtu, mtu, memory_order_relaxed);
    return mtu != known;
}
