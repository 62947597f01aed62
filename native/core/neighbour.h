/*
 * ARP and IPv6 neighbour discovery across the tunnel. A kernel VXLAN peer without static neighbours asks for the MAC
 * behind this host's overlay addresses; it is answered with this VTEP's. Nothing else is: a TUN has no neighbours.
 */
#ifndef WEFT_NEIGHBOUR_H
#define WEFT_NEIGHBOUR_H

#include <stddef.h>
#include <stdint.h>

#include "ip.h"
#include "tables.h"

/* The longest answer: an inner Ethernet payload of IPv6 header and neighbour advertisement with one option. */
enum { NEIGHBOUR_REPLY_MAX = 72 };

/*
 * Answers an ARP request (RFC 826): `data` is the payload of the inner Ethernet frame. Writes the ARP reply to `out`
 * (NEIGHBOUR_REPLY_MAX bytes) and the asker's MAC to `asker`. Returns the reply's length, or 0 when the packet is
 * not a request for the TUN's address or the subnet's gateway address.
 */
size_t arp_answer(const struct self_row *self, const uint8_t *data, size_t len, uint8_t *out,
                  uint8_t asker[MAC_SIZE]);

/*
 * Answers a neighbour solicitation (RFC 4861 4.3, 7.1.1, 7.2.4): `ip` is the checked view of the packet at `data`,
 * `frame_source` the source MAC of its frame. Same results as arp_answer; duplicate address detection for our
 * addresses is not answered, since nobody else may have them.
 */
size_t ndp_answer(const struct self_row *self, const uint8_t *data, const struct ip_info *ip,
                  const uint8_t frame_source[MAC_SIZE], uint8_t *out, uint8_t asker[MAC_SIZE]);

/* Whether the packet is ICMPv6 neighbour discovery (RFC 4861: types 133 to 137) and so never leaves its link. */
bool ndp_is(const uint8_t *data, const struct ip_info *ip);

#endif
