/*
 * Flow entropy: which of the tunnel's source ports a packet's datagrams leave from (RFC 7348 section 5), so that the
 * underlay's links and the receiver's queues share the load and a flow keeps to one of each.
 */
#ifndef WEFT_FLOW_H
#define WEFT_FLOW_H

#include "ip.h"

enum { FLOW_PORTS = 16 };

/*
 * A number below FLOW_PORTS, the same for every packet of a flow: made of addresses, protocol and, except in
 * fragments, TCP or UDP ports.
 */
uint32_t flow_hash(const uint8_t *data, const struct ip_info *ip);
uint8_t flow_port(const uint8_t *data, const struct ip_info *ip);

#endif
