/* Writing and checking VXLAN and inner Ethernet headers. */
#include "vxlan.h"

#include <stdbool.h>

#include "bytes.h"

/* RFC 7348: only the I flag is defined; the rest is reserved. */
#define FLAG_I 0x08000000u
/* draft-smith-vxlan-group-policy: the G flag, and behind it the bits D, A and the group (the kernel's GBP_USED_BITS). */
#define GBP_BITS 0x80ffffffu

void vxlan_write(uint8_t *out, uint32_t vni, const uint8_t dst[MAC_SIZE],
                 const uint8_t src[MAC_SIZE], uint16_t ethertype)
{
    put32(out, FLAG_I);
    put32(out + 4, vni << 8);
    memcpy(out + VXLAN_HEADER, dst, MAC_SIZE);
    memcpy(out + VXLAN_HEADER + MAC_SIZE, src, MAC_SIZE);
    put16(out + VXLAN_HEADER + 2 * MAC_SIZE, ethertype);
}

enum drop vxlan_check(const uint8_t *data, size_t len, uint32_t vni, unsigned admit)
{
    if (len < VXLAN_OVERHEAD)
        return DROP_runt;
    uint32_t flags = get32(data), tail = get32(data + 4);
    if (admit & ADMIT_GBP)
        flags &= ~GBP_BITS;
    bool reserved = flags != FLAG_I || (tail & 0xff) != 0;
    if (!(flags & FLAG_I) || (reserved && !(admit & ADMIT_LENIENT)))
        return DROP_bad_vxlan;
    return tail >> 8 == vni ? DROP_NONE : DROP_bad_vni;
}
