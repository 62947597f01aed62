/*
 * The VXLAN format (RFC 7348 section 5): UDP payload = VXLAN header, inner Ethernet header, inner IP packet. The udp
 * format has nothing to encode: its UDP payload is the inner IPv4 packet.
 */
#ifndef WEFT_VXLAN_H
#define WEFT_VXLAN_H

#include <stddef.h>
#include <stdint.h>

#include "counters.h"
#include "tables.h"

enum {
    VXLAN_HEADER = 8,
    ETHERNET_HEADER = 14,
    VXLAN_OVERHEAD = VXLAN_HEADER + ETHERNET_HEADER,
    ETHERTYPE_IPV4 = 0x0800,
    ETHERTYPE_ARP = 0x0806,
    ETHERTYPE_IPV6 = 0x86dd,
};

/* Writes VXLAN and Ethernet header, VXLAN_OVERHEAD bytes. vni: 24 bits. */
void vxlan_write(uint8_t *out, uint32_t vni, const uint8_t dst[MAC_SIZE],
                 const uint8_t src[MAC_SIZE], uint16_t ethertype);

/*
 * Checks length, flags and VNI as the kernel does (drivers/net/vxlan): I set, every reserved bit zero. admit may hold
 * ADMIT_GBP, for the group policy extension, and ADMIT_LENIENT, for ignoring what is reserved as RFC 7348 asks.
 */
enum drop vxlan_check(const uint8_t *data, size_t len, uint32_t vni, unsigned admit);

#endif
